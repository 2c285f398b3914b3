"""What the demo says at its end: how to walk predictions back, where there are some."""

from samara.demo import Month, walks


def test_nobody_is_told_to_walk_back_predictions_that_there_are_not() -> None:
    assert walks("samara", [Month("2013-01")]) == []


def test_one_prediction_of_the_first_and_of_the_last_month_is_named() -> None:
    months = [Month(f"2013-0{month}", prediction=f"late.{month}") for month in range(1, 5)]

    head, *said = walks("samara", months)

    assert head.startswith("Walk predictions back to the uploaded files")
    assert said == ["  samara why late.2", "  samara why late.4"]
