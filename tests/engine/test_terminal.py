"""What is printed: whole lines, whatever other threads print."""

import io

from tune_jobs.engine.terminal import write


class Pieces(io.StringIO):
    """Keeps what is written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_a_line_is_written_at_once() -> None:
    stream = Pieces()

    write("trial 3", stream)
    write("waiting", stream, end="")

    assert stream.pieces == ["trial 3\n", "waiting"]
