from ollm.wire.dialects.frame import Frame, named_event


def test_ids_are_derived_from_ours() -> None:
    for id in ("resp_0f", "chatcmpl-0f", "0f"):
        assert Frame(id, "m", {}).derived("call", 3) == "call_0f_3"


def test_an_event_is_named_by_its_type() -> None:
    assert named_event({"type": "message_stop", "x": "é\n"}) == 'event: message_stop\ndata: {"type":"message_stop","x":"é\\n"}\n\n'.encode()


def test_a_frame_shows_nothing() -> None:
    assert repr(Frame("resp_1", "canary", {})) == "<Frame>"
