"""A gradient-boosted classifier over carrier, airports, hour, distance and weather."""

import numpy as np
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

TEXT = ["carrier", "origin", "dest"]


def train(table: pa.Table, *, features: list[str], target: str, seed: int, trees: int, leaves: int) -> Pipeline:
    """Small trees with many rows a leaf: larger ones learn single days by heart."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    text = [features.index(name) for name in TEXT]
    model = make_pipeline(
        make_column_transformer((codes, text), remainder="passthrough"),
        HistGradientBoostingClassifier(
            max_iter=trees,
            max_leaf_nodes=leaves,
            learning_rate=0.06,
            min_samples_leaf=300,
            early_stopping=False,
            random_state=seed,
        ),
    )
    rows = np.array([table[name].to_pylist() for name in features], dtype=object).T
    return model.fit(rows, table[target].to_numpy(zero_copy_only=False))
