"""What a detector finds in a text, as text."""

from ollm.wire.detect.detector import Detector


def found(detector: Detector, text: str) -> list[str]:
    return [text[span.start : span.end] for span in detector.find(text)]
