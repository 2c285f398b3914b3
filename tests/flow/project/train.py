"""A small model, quick to train."""

import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def train(table: pa.Table, *, features: list[str], target: str, seed: int) -> Pipeline:
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["colour"]), (StandardScaler(), ["length"])
    )
    model = make_pipeline(columns, LogisticRegression(random_state=seed))
    return model.fit(table.select(features), table[target].to_numpy(zero_copy_only=False))
