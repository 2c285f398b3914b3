"""What everybody serves: a small gradient-boosting model, rows to ask it about, and its right answers.

100 trees of depth 3 over 30 features, in one wide input, so that the servers' own cost is most of what is seen.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INPUT, OUTPUT = "X", "probabilities"
FEATURES = 30
ROWS = 1024
SEED = 7
DIGITS = 5  # of each value: about as long as what clients send

Row = list[float]


@dataclass(frozen=True, slots=True)
class Specimen:
    """`answers[i]` are the two probabilities that onnxruntime itself gives for `rows[i]`."""

    path: Path
    rows: list[Row]
    answers: list[Row]

    def batch(self, size: int, number: int) -> tuple[list[Row], list[Row]]:
        """Rows and right answers of the request of that number; they begin anew at the end."""
        start = number * size % ROWS
        return self.rows[start : start + size], self.answers[start : start + size]


def specimen(folder: Path) -> Specimen:
    """That of the folder, made if it is not there."""
    path, rows = folder / "model.onnx", folder / "rows.json"
    if not rows.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(trained())
        rows.write_text(json.dumps(asked_and_answered(path)))
    said = json.loads(rows.read_text())
    return Specimen(path, said["rows"], said["answers"])


def trained() -> bytes:
    import numpy as np  # noqa: PLC0415  # needed to make it, and a second of the start of every part that reads it
    from skl2onnx import to_onnx  # noqa: PLC0415  # the same
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415  # the same

    chance = np.random.default_rng(SEED)
    x = chance.normal(size=(2000, FEATURES)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] + chance.normal(scale=0.5, size=2000) > 0).astype(np.int64)
    fitted = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=SEED).fit(x, y)
    model = to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=17)
    data: bytes = model.SerializeToString()
    return data


def asked_and_answered(path: Path) -> dict[str, Any]:
    import numpy as np  # noqa: PLC0415  # the same
    import onnxruntime as ort  # noqa: PLC0415  # the same

    rows = np.random.default_rng(SEED + 1).normal(size=(ROWS, FEATURES)).round(DIGITS)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run([OUTPUT], {INPUT: rows.astype(np.float32)})[0]
    return {"rows": rows.tolist(), "answers": answers.astype(float).tolist()}
