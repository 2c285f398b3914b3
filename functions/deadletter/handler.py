"""Deadletter: tell people what could not be done, whichever cloud gave it up.

Wakes on  an event that a function failed on as often as its platform tries
Reads     nothing
Writes    alerts/{what}.json, one for each subject and kind of failure

Delivered twice, it has said it before. The event itself stays in the dead letters of its platform.
"""

from samara.app import App
from samara.entry import on_given_up
from samara.events import GivenUp


def run(event: GivenUp, app: App) -> None:
    app.alert(event.subject or event.function, f"{event.function} {event.what}", event.why, event.at)


handler = on_given_up(run)
