"""The command line: each command says what it does, does it through `samara.admin`, and shows what came of it."""

import errno
import getpass
import io
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, TypeVar, cast

import click

from samara import __version__
from samara.errors import Conflict, NotFound, SamaraError
from samara.providers.addresses import provider_of
from samara.settings import HOME, Settings, from_environment, nearest_home

R = TypeVar("R")
PORT = click.IntRange(0, 65535)


class Friendly(click.Group):
    """Turns our errors into one line and an exit code: 1 for what cannot be, 2 for what lost a race.

    And the file system's: a folder that may not be written, a full disk. Where a letter cannot be shown, `?` stands.
    """

    def main(self, *args: Any, **options: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SamaraError as error:
            click.echo(f"{click.style('✗', fg='red')} {error}", err=True)
            ctx.exit(2 if isinstance(error, Conflict) else 1)
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read what we said has gone: click ends without a word
                raise
            where = error.filename2 or error.filename or "this machine"  # of a copy, what was written to
            said = f"{where}: the file system says: {error.strerror or error}"
            click.echo(f"{click.style('✗', fg='red')} {said}", err=True)
            ctx.exit(1)


@click.group(cls=Friendly, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="samara")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"The folder of the local platform. Default: the nearest {HOME} at or above this folder.",
)
@click.pass_context
def main(ctx: click.Context, home: Path | None) -> None:
    """Run machine learning models in production with one bucket as the only state.

    On the first day: `samara demo`. With data of your own: `samara init`, then `samara dev`.
    """
    settings = from_environment()
    if settings.store and not os.environ.get("SAMARA_PROVIDER"):  # the address says whose bucket it is
        settings = settings._replace(provider=provider_of(settings.store))
    found = home or (nearest_home(Path.cwd()) if settings.home == Path(HOME) else settings.home)
    ctx.obj = settings._replace(home=(found or Path(HOME)).absolute())


def whoever() -> str:
    """Who gives the command, for the record. In a container a user may be a number without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def in_project(function: Callable[..., R]) -> Callable[..., R]:
    """Gives a command the settings of a home that exists, or of a cloud, or says how to get one."""

    @click.pass_obj
    def wrapped(settings: Settings, *args: Any, **options: Any) -> R:
        return function(existing(settings), *args, **options)

    wrapped.__doc__ = function.__doc__
    wrapped.__name__ = function.__name__
    return wrapped


def existing(settings: Settings) -> Settings:
    """These settings, or `NotFound` where there is no home yet. A cloud's bucket tells for itself."""
    if settings.provider == "local" and not settings.bucket.is_dir():
        raise NotFound(
            settings.store or str(settings.home),
            "no samara project here; make one with `samara init`, or see `samara demo`. For a bucket in a cloud, "
            "set SAMARA_STORE to its address",
        )
    return settings


@main.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--data", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A CSV file to start from.")
@click.option("--target", help="The column to predict. Needed with --data.")
@click.option("--cloud", type=click.Choice(["aws", "gcp", "azure"]), help="Configure a stack for this cloud as well.")
@click.option("--stack", help="The stack's name. Default: the cloud's.")
@click.option("--region", help="The stack's region. Default: one in Europe.")
def init(
    folder: Path | None,
    *,
    data: Path | None,
    target: str | None,
    cloud: str | None,
    stack: str | None,
    region: str | None,
) -> None:
    """Make a project FOLDER: a data contract, a model definition and training code. Or configure a stack, or both.

    With --data and --target the contract is drafted from your file; without, you get a small working example.
    With --cloud, `pulumi up` finds in infra/ what it is to create.
    """
    from samara import stacks, starter

    if folder is None and cloud is None:
        raise click.UsageError("Name a FOLDER for a project, or a --cloud to configure a stack for.")
    if cloud is None and (stack or region):
        raise click.UsageError("--stack and --region say how to configure a --cloud; name one.")
    for path in starter.create(folder, data, target) if folder else ():
        click.echo(f"  {click.style('+', fg='green')} {path}")
    if cloud:
        click.echo(f"  {click.style('+', fg='green')} {stacks.create(cloud, stack or cloud, region)}")
    if folder:
        click.echo(f"\nNext:  cd {shlex.quote(str(folder))} && samara dev")
    if cloud:
        click.echo(f"\nNext:  make infra && cd {stacks.INFRA} && pulumi stack init {stack or cloud} && pulumi up")


@main.command()
@click.option("--port", default=8421, show_default=True, type=PORT, help="Where to answer HTTP, on this machine only.")
@click.option(
    "--project",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The project folder. Default: the one that holds the home folder.",
)
@click.pass_obj
def dev(settings: Settings, port: int, project: Path | None) -> None:
    """Run the whole platform on this machine: store, functions, schedules and HTTP.

    Publishes the project's contracts and models, and again whenever a file of theirs changes. Stop it with
    Ctrl-C; start it again and it goes on where it was.
    """
    from samara import console, entry
    from samara.dev import platform

    entry.log_to_stderr()
    with stoppable() as stopped, platform.Platform(settings, port=port) as running:
        console.started(running.url, settings)
        console.republish(project or settings.home.parent, running, stopped)
    click.echo("stopped", err=True)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to answer at.")
@click.option("--port", default=8080, show_default=True, type=PORT, help="The port to answer on; 0 for any free one.")
@click.option("--model", "models", multiple=True, metavar="NAME", help="Load this model before answering. Repeatable.")
@click.option("--function", default="predict", show_default=True, help="The function of the catalogue that answers.")
@in_project
def serve(settings: Settings, host: str, port: int, models: tuple[str, ...], function: str) -> None:
    """Answer predictions from the bucket, in this process and with nothing else running.

    Only this machine may ask, unless --host says otherwise: put what checks its callers in front of it then.
    In a container, `python -m samara.hosts.serve` does the same sooner: it takes SAMARA_STORE, HOST and PORT from the
    environment.
    """
    from samara import entry
    from samara.hosts.alone import alone, until_told

    entry.log_to_stderr()
    until_told(alone(settings, function, host, port, models))


@main.command()
@click.option("--keep/--no-keep", default=None, help="Go on serving the dashboard afterwards. Default: in a terminal.")
@click.option("--months", default=9, show_default=True, type=click.IntRange(1, 12), help="How far into 2013.")
@click.pass_context
def demo(ctx: click.Context, keep: bool | None, months: int) -> None:
    """Run the whole loop on real data: every flight out of New York in 2013, month by month.

    Takes about a minute and leaves a project you can look into and ask `samara why` about. It lives in this folder,
    whatever project there is above, unless --home or SAMARA_HOME says where.
    """
    from samara import demo as story

    home = ctx.find_root().params["home"] or from_environment().home
    settings = ctx.obj._replace(home=home.absolute())
    with stoppable() as stopped:
        story.run(
            settings, stopped, keep=bool(sys.stdout and sys.stdout.isatty()) if keep is None else keep, months=months
        )


@main.command()
@in_project
def status(settings: Settings) -> None:
    """Show datasets, models, jobs and alerts on one screen."""
    from samara import app, console

    console.status(app.build(settings), settings)


@main.command()
@click.argument("model", required=False)
@in_project
def models(settings: Settings, model: str | None) -> None:
    """List registered models, or the versions of MODEL with their metrics and gates."""
    from samara import app, console

    console.models(app.build(settings), model)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dataset", required=True, help="The dataset it belongs to.")
@click.option("--name", help="The name it gets. Default: its own.")
@in_project
def upload(settings: Settings, file: Path, dataset: str, name: str | None) -> None:
    """Put FILE into the bucket's landing folder, where ingest finds it."""
    from samara import app
    from samara.core import keys

    key = f"{keys.LANDING}{keys.named(dataset, 'dataset')}/{name or file.name}"
    with file.open("rb") as source:
        try:
            app.build(settings).store.create_from(key, source)
        except Conflict:
            raise Conflict(key, "there is an upload of that name; give another with --name") from None
    click.echo(f"{click.style('✓', fg='green')} {key}")


@main.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--check", is_flag=True, help="Only see whether the folder is in order; touch no bucket.")
@click.pass_obj
def publish(settings: Settings, folder: Path, check: bool) -> None:
    """Put the contracts, models and training code of FOLDER in force. On a laptop `samara dev` does so by itself."""
    from samara import app, project

    found = project.read(folder)
    if not found.contracts:
        raise NotFound(str(folder), f"holds no {project.CONTRACTS}, so nothing to publish; name a project's folder")
    if check:
        said = [f"{', '.join([*found.contracts, *found.definitions])}: in order"]
    else:
        said = project.publish(found, app.build(existing(settings)))
    for what in said or ["nothing new"]:
        click.echo(f"{click.style('✓', fg='green')} {what}")


@main.command()
@click.argument("model")
@click.option("--why", "reason", default="", help="For the record: why you ask.")
@click.option("--again", is_flag=True, help="Try once more what has failed.")
@in_project
def train(settings: Settings, model: str, reason: str, *, again: bool) -> None:
    """Ask for a training of MODEL now, on the newest accepted batches.

    On a laptop `samara dev` must be running. In a cloud SAMARA_JOBS must say where jobs run.
    """
    from samara import console

    if not console.ask_for_training(settings, model, reason, again=again):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("model")
@click.option("--dataset", default="", help="Whose batch. Default: the dataset it was trained on.")
@click.option("--batch", default="", help="Which batch. Default: the newest accepted one.")
@click.option("--version", default="", help="Who answers: a number or an alias. Default: the champion.")
@click.option("--again", is_flag=True, help="Try once more what has failed.")
@click.option("--wait", is_flag=True, help="Until it is done. Ends with 1 when it fails.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Wait, and put the answers into this folder."
)
@in_project
def score(
    settings: Settings, model: str, *, dataset: str, batch: str, version: str, again: bool, wait: bool, out: Path | None
) -> None:
    """Have MODEL answer every row of a batch, as Parquet in the bucket. Asked again, it is the same work.

    On a laptop `samara dev` must be running.
    """
    from samara import app, console

    answer = console.ask_for_scores(settings, model, dataset, batch, version, again=again)
    if (wait or out) and not console.wait_for_scores(app.build(settings), settings, answer, out):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("model")
@click.argument("version", type=click.IntRange(min=1))
@click.option("--expect", type=click.IntRange(min=1), help="The champion you saw; refuse if it is another by now.")
@in_project
def promote(settings: Settings, model: str, version: int, expect: int | None) -> None:
    """Make VERSION of MODEL the champion, whatever its metrics were compared with.

    With --expect, two people promoting at once cannot overwrite each other: the second is told.
    """
    from samara import admin, app

    at, by = datetime.now(UTC), whoever()
    head = admin.promote(app.build(settings), model, version, expect=expect, at=at, by=by)
    click.echo(f"{click.style('✓', fg='green')} {model}: champion v{head.champion}, move {len(head.moves)}")


@main.command()
@click.argument("model")
@click.argument("shares", nargs=-1, metavar="[VERSION=SHARE]…")
@in_project
def route(settings: Settings, model: str, shares: tuple[str, ...]) -> None:
    """Share the requests for MODEL among versions, as in `samara route late 3=0.9 4=0.1`; none: all to the champion.

    Who sends a `samara-key` header is always answered by the same version while the shares stay.
    """
    from samara import admin, app
    from samara.core.aliases import shares as shares_in_words

    head = admin.route(app.build(settings), model, share_of(shares), at=datetime.now(UTC), by=whoever())
    said = shares_in_words(head.weights) or f"v{head.champion} all"
    click.echo(f"{click.style('✓', fg='green')} {model}: {said}, move {len(head.moves)}")


def share_of(shares: tuple[str, ...]) -> dict[int, float]:
    try:
        return {int(version): float(share) for version, share in (one.split("=") for one in shares)}
    except ValueError as error:
        raise click.UsageError("write each share as VERSION=SHARE, such as 3=0.9") from error


@main.command()
@click.argument("model")
@click.argument("version", type=int, required=False)
@in_project
def shadow(settings: Settings, model: str, version: int | None) -> None:
    """Ask VERSION of MODEL each hour what others answered, and compare; without VERSION, stop."""
    from samara import admin, app

    head = admin.shadow(app.build(settings), model, version, at=datetime.now(UTC), by=whoever())
    said = f"v{head.shadow} is the shadow" if head.shadow else "no shadow"
    click.echo(f"{click.style('✓', fg='green')} {model}: {said}, move {len(head.moves)}")


@main.command()
@click.argument("model")
@in_project
def rollback(settings: Settings, model: str) -> None:
    """Make the champion before this one champion again."""
    from samara import admin, app

    head = admin.rollback(app.build(settings), model, at=datetime.now(UTC), by=whoever())
    click.echo(f"{click.style('✓', fg='green')} {model}: champion v{head.champion}, move {len(head.moves)}")


@main.command()
@click.argument("subject")
@in_project
def why(settings: Settings, subject: str) -> None:
    """Walk a prediction back to the uploaded files it came from, verifying every digest.

    SUBJECT is a prediction id, or the key of any record. Ends with 1 when a link is missing or altered.
    """
    from samara import admin, app, console

    if not console.trail(admin.why(app.build(settings), subject), subject):
        raise click.exceptions.Exit(1)


@main.command()
@click.argument("prefix", default="landing/")
@in_project
def replay(settings: Settings, prefix: str) -> None:
    """Deliver every event under PREFIX again. What was done stays; what is missing is made."""
    from samara import admin, app, catalogue, console

    functions = catalogue.load(settings.catalogue)
    console.replayed(admin.replay(app.build(settings), functions, prefix, datetime.now(UTC)))


@main.command()
@click.option("--store", metavar="ADDRESS", help="Examine this bucket instead: s3://… gs://… az://… file:…")
@click.pass_obj
def doctor(settings: Settings, store: str | None) -> None:
    """Check this machine and this project, and say what to mend. Ends with 1 when something is wrong.

    With --store, see whether a bucket of yours keeps every promise that Samara relies on. It is tried out below a
    prefix of its own, samara-doctor/, which is removed again.
    """
    from samara import conformance, console
    from samara import doctor as checks

    if store:
        console.err.print("This takes up to a minute, and writes some 50 MB that are removed again.")
        fine = console.promises(store, conformance.examined(conformance.at(store)))
    else:
        fine = console.checks(checks.run(settings))
    if not fine:
        raise click.exceptions.Exit(1)


@main.command()
@click.option("--idle", is_flag=True, required=True, help="What it costs while nothing happens.")
@click.option("--stack", help="Ask infra/Pulumi.STACK.yaml, before anything is created.")
@click.argument("file", required=False, type=click.File("rb"))
def cost(idle: bool, stack: str | None, file: BinaryIO | None) -> None:  # noqa: ARG001  # the one cost there is to ask for
    """List each resource of a stack with its standing charge: what it costs a month while nothing happens.

    FILE is what `pulumi stack export` or `pulumi preview --json` wrote (- for standard input). Ends with 1 when
    something costs, or is of a kind that the price list does not know.
    """
    from samara import console, costs, stacks

    if (stack is None) == (file is None):
        raise click.UsageError("Name a --stack, or a FILE that Pulumi wrote.")
    resources = stacks.planned(stack) if stack else costs.read(cast("BinaryIO", file).read())
    if not console.charges(costs.idle(costs.exported(resources))):
        raise click.exceptions.Exit(1)


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C or a termination signal sets, once; so that whoever waits can clean up."""
    stopped = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the signature signals have
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
