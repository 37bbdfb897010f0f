import pytest

from services.media import offer
from services.media.offer import NoCommonCodec, UnusableOffer

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
H264 = "a=rtpmap:102 H264/90000\r\na=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"


def section(kind="video", codecs=H264, direction="recvonly", mid="0", payload="102", more="", without=""):
    lines = [
        f"m={kind} 9 UDP/TLS/RTP/SAVPF {payload}",
        "c=IN IP4 0.0.0.0",
        f"a={direction}" if direction else "",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:0123456789012345678901",
        FINGERPRINT,
        "a=setup:actpass",
        codecs,
        more,
    ]
    return "\r\n".join(line for line in lines if line and not (without and line.startswith(without))) + "\r\n"


def opus(**changes):
    return section(kind="audio", codecs="a=rtpmap:111 opus/48000/2", payload="111", **{"mid": "1", **changes})


BUNDLE = "a=group:BUNDLE 0 1\r\n"


def test_a_browsers_offer_wants_both_tracks_in_its_own_order():
    parsed = offer.parse(HEAD + BUNDLE + opus(mid="0") + section(mid="1"))
    assert parsed.wanted() == ("audio", "video")
    assert parsed.leaves_role


def test_tracks_the_offerer_only_sends_are_not_wanted():
    parsed = offer.parse(HEAD + BUNDLE + section() + opus(direction="sendonly"))
    assert parsed.wanted() == ("video",)


def test_a_publisher_gives_what_it_sends():
    parsed = offer.parse(HEAD + BUNDLE + section(direction="sendonly") + opus(direction="sendrecv"))
    assert parsed.offered() == ("video", "audio")
    assert parsed.wanted() == ("audio",)


def test_a_publisher_of_nothing_or_of_another_codec_is_told_apart():
    with pytest.raises(UnusableOffer):
        offer.parse(HEAD + section()).offered()
    with pytest.raises(NoCommonCodec):
        offer.parse(HEAD + section(direction="sendonly", codecs="a=rtpmap:102 VP8/90000")).offered()


def test_the_ice_generation_of_an_offer_is_known():
    assert offer.parse(HEAD + section()).ufrags == {"abcd"}


def test_a_second_section_of_a_kind_is_not_served():
    assert offer.parse(HEAD + BUNDLE + section() + section(mid="1")).wanted() == ("video",)


def test_a_missing_direction_means_both_and_is_written_down():
    parsed = offer.parse(HEAD + section(direction=""))
    assert parsed.sections[0].direction == "sendrecv"
    assert "a=sendrecv\r\n" in parsed.text


def test_a_direction_for_the_whole_session_holds_where_a_section_has_none():
    assert offer.parse(HEAD + "a=recvonly\r\n" + section(direction="")).sections[0].direction == "recvonly"


def test_credentials_and_fingerprint_may_stand_above_the_sections():
    shared = f"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n{FINGERPRINT}\r\n"
    own = section(without="a=ice").replace(FINGERPRINT + "\r\n", "")
    assert offer.parse(HEAD + shared + own).wanted() == ("video",)


def test_an_offerer_who_chose_its_role_keeps_it():
    assert not offer.parse(HEAD + section().replace("actpass", "active")).leaves_role


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not SDP"),
        ("hello", "not SDP"),
        (HEAD, "no media section"),
        (HEAD + section() * 17, "more than 16"),
        (HEAD + section() + "a=x\r\n" * 40_000, "larger"),
        (HEAD + section() + opus(), "bundle"),
        (HEAD + BUNDLE + section() + opus(mid="0"), "one mid each"),
        (HEAD + section(without="a=mid"), "one mid each"),
        (HEAD + section(without="a=ice-ufrag"), "ice-ufrag"),
        (HEAD + section(without="a=ice-pwd"), "ice-pwd"),
        (HEAD + section().replace("a=ice-ufrag:abcd", "a=ice-ufrag:ab"), "ice-ufrag"),
        (HEAD + section(without="a=fingerprint"), "fingerprint"),
        (HEAD + section().replace("sha-256", "md5"), "fingerprint"),
        (HEAD + section(without="a=rtcp-mux"), "multiplex"),
        (HEAD + section(payload="999"), "payload type"),
        (HEAD + section(payload="x"), "payload type"),
        (HEAD + "m=video\r\n", "malformed"),
    ],
)
def test_what_is_no_usable_offer_is_told_apart(text, reason):
    with pytest.raises(UnusableOffer, match=reason):
        offer.parse(text)


@pytest.mark.parametrize("text", [HEAD + section(direction="sendonly"), HEAD + section(direction="inactive")])
def test_an_offer_that_wants_nothing_is_unusable(text):
    with pytest.raises(UnusableOffer, match="neither"):
        offer.parse(text).wanted()


@pytest.mark.parametrize(
    "text",
    [
        HEAD + section(codecs="a=rtpmap:102 VP8/90000"),
        HEAD + section(codecs=H264.replace("packetization-mode=1;", "")),
        HEAD + opus().replace("opus/48000/2", "PCMU/8000"),
        HEAD + BUNDLE + section(codecs="a=rtpmap:102 AV1/90000") + opus(),
    ],
)
def test_an_offer_without_our_codecs_is_told_so(text):
    with pytest.raises(NoCommonCodec):
        offer.parse(text).wanted()


def test_sound_without_opus_is_left_out_where_the_picture_can_be_sent():
    text = HEAD + BUNDLE + section() + opus().replace("opus/48000/2", "PCMU/8000")
    assert offer.parse(text).wanted() == ("video",)
