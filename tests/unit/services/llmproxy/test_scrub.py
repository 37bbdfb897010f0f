from services.llmproxy.scrub import Scrubber


def test_keys_and_their_parts_are_blotted_out_wherever_they_stand():
    scrubber = Scrubber(["planted-zebra", "AKIA0123456789:se/cret/key:token=="])
    assert scrubber.scrub(b'{"message":"got planted-zebra, want x"}') == b'{"message":"got [redacted], want x"}'
    assert scrubber.scrub(b"AKIA0123456789 se/cret/key") == b"[redacted] [redacted]"
    assert scrubber.scrub(b"AKIA0123456789:se/cret/key:token==") == b"[redacted]"


def test_what_is_no_secret_stays():
    assert Scrubber(["k", ""]).scrub(b"a key") == b"a key"
    assert Scrubber([]).scrub(b"anything") == b"anything"
