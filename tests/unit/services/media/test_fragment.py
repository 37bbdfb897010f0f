import pytest

from services.media.fragment import LARGEST_BYTES, MOST_CANDIDATES, UnusableFragment, parse

HEAD = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
CANDIDATE = "a=candidate:1 1 udp 2130706431 198.51.100.1 39132 typ host"
SECTION = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"


def test_candidates_are_read_with_the_section_they_belong_to():
    fragment = parse(
        f"{HEAD}{SECTION}{CANDIDATE}\r\nm=video 9 X 0\r\na=mid:1\r\n{CANDIDATE}\r\na=end-of-candidates\r\n"
    )
    assert (fragment.ufrag, fragment.candidates) == ("EsAw", ((CANDIDATE, "0"), (CANDIDATE, "1")))


def test_a_fragment_may_name_its_generation_in_every_section():
    assert parse(f"{SECTION}{HEAD}{CANDIDATE}\n").candidates == ((CANDIDATE, "0"),)


def test_a_fragment_may_have_no_candidate():
    assert parse(HEAD).candidates == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        SECTION + CANDIDATE,
        HEAD + CANDIDATE,
        HEAD + "a=ice-ufrag:other",
        HEAD + "v=0",
        HEAD + SECTION + "\r\n".join([CANDIDATE] * (MOST_CANDIDATES + 1)),
        HEAD + "a=" + "x" * LARGEST_BYTES,
    ],
)
def test_what_is_no_fragment_is_refused_without_being_quoted(text):
    with pytest.raises(UnusableFragment) as refused:
        parse(text)
    assert text == "" or text not in str(refused.value)
