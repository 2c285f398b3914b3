"""Who is measured: floors written by hand, the peers through their own public interfaces, and Samara.

Everybody serves the same model on one thread, with one worker where workers can be chosen, on loopback, without access
logs where there is a switch for them, and answers with the probabilities alone.
"""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.predict import ours
from tests.benchmarks.predict.environments import CACHE, PEERS, SAMARA
from tests.benchmarks.predict.specimen import Specimen

V2 = "/v2/models/model/infer"


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server is to run. `folder` is its own, empty at first, and its working directory."""

    folder: Path
    port: int
    subject: Specimen
    python: Path

    def script(self, name: str) -> str:
        return str(PEERS / f"{name}.py")

    def tool(self, name: str) -> str:
        return str(self.python.parent / name)


Command = tuple[list[str], dict[str, str]]  # and what its environment says beside what everybody's does


@dataclass(frozen=True, slots=True)
class Contender:
    """`environment` is what it is installed in; without a name it is the one that runs this."""

    name: str
    what: str
    environment: str
    start: Callable[[Place], Command]
    dialect: str = "v2"
    path: str = V2
    patience_s: float = 60.0  # until the first answer

    def command(self, place: Place) -> Command:
        """What starts the server, and its whole environment."""
        command, more = self.start(place)
        return command, {**surroundings(place), **more}


def surroundings(place: Place) -> dict[str, str]:
    """As a service gets it, not as this shell has it: one thread for arithmetic, and no reports home."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "SYSTEMROOT", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{place.python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(PEERS),
        "PYTHONDONTWRITEBYTECODE": "",
        "BENCH_MODEL": str(place.subject.path),
        "PORT": str(place.port),
        "LOG_LEVEL": "WARNING",  # no contender tells of each request
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "DO_NOT_TRACK": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def script(name: str) -> Callable[[Place], Command]:
    return lambda place: ([str(place.python), place.script(name)], {})


def uvicorn(app: str) -> Callable[[Place], Command]:
    options = "--host 127.0.0.1 --loop uvloop --http httptools --no-access-log --log-level warning"
    return lambda place: ([place.tool("uvicorn"), *options.split(), "--port", str(place.port), f"{app}:app"], {})


def mlserver(workers: int | None) -> Callable[[Place], Command]:
    """With that many processes for inference beside the server, or as many as it has by default."""

    def start(place: Place) -> Command:
        settings = {"name": "model", "implementation": "on_mlserver.OnnxRuntime"}
        (place.folder / "model-settings.json").write_text(json.dumps(settings))
        ports = {"HTTP_PORT": place.port, "GRPC_PORT": place.port + 1, "METRICS_PORT": place.port + 2}
        more = {} if workers is None else {"PARALLEL_WORKERS": workers}
        said = {f"MLSERVER_{name}": str(value) for name, value in {**ports, **more}.items()}
        more_said = {"MLSERVER_HOST": "127.0.0.1", "MLSERVER_DEBUG": "false"}  # debugging means a line for each request
        return [place.tool("mlserver"), "start", str(place.folder)], {**more_said, **said}

    return start


def kserve(place: Place) -> Command:
    quiet = str(PEERS / "kserve_logging.json")
    return [str(place.python), place.script("on_kserve"), "--log_config_file", quiet], {}


def bentoml(place: Place) -> Command:
    command = [place.tool("bentoml"), "serve", "on_bentoml:Served", "--working-dir", str(PEERS)]
    more = {"BENTOML_HOME": str(place.folder), "BENTOML_DO_NOT_TRACK": "True"}
    return [*command, "--host", "127.0.0.1", "--port", str(place.port)], more


def mlflow(place: Place) -> Command:
    saved = CACHE / "mlflow-model"
    if not (saved / "MLmodel").exists():
        env = {**surroundings(place), "MLFLOW_DISABLE_TELEMETRY": "true"}
        save = [str(place.python), place.script("save_mlflow"), str(saved)]
        subprocess.run(save, env=env, cwd=place.folder, check=True, capture_output=True)
    command = [place.tool("mlflow"), "models", "serve", "--model-uri", str(saved), "--env-manager", "local"]
    more = {"MLFLOW_DISABLE_TELEMETRY": "true", "UVICORN_ACCESS_LOG": "false"}
    return [*command, "--host", "127.0.0.1", "--port", str(place.port)], more


def ray(place: Place) -> Command:
    return script("on_ray")(place)[0], {"RAY_USAGE_STATS_ENABLED": "0"}


def samara(*, captured: bool) -> Callable[[Place], Command]:
    def start(place: Place) -> Command:
        ours.in_folder(place.folder / "home", place.subject, captured=captured)
        more = {"SAMARA_PROVIDER": "local", "SAMARA_HOME": str(place.folder / "home")}
        return [str(place.python), "-m", "samara.hosts.serve"], more

    return start


CONTENDERS = (
    Contender("floor-binary", "floor: own protocol, binary tensors", "asgi", script("floor_protocol"), "v2 binary"),
    Contender("floor", "floor: own protocol on uvloop, JSON", "asgi", script("floor_protocol")),
    Contender("samara-binary", "Samara, binary tensors, capture off", SAMARA, samara(captured=False), "v2 binary"),
    Contender("samara", "Samara, capture off", SAMARA, samara(captured=False)),
    Contender("samara-captured", "Samara, durable capture", SAMARA, samara(captured=True)),
    Contender("asgi", "floor: bare ASGI on uvicorn, JSON", "asgi", uvicorn("floor_asgi")),
    Contender("starlette", "Starlette + orjson", "starlette", uvicorn("on_starlette")),
    Contender("fastapi", "FastAPI (async)", "fastapi", uvicorn("on_fastapi")),
    Contender("mlserver", "MLServer, no parallel workers", "mlserver", mlserver(0)),
    Contender("mlserver-default", "MLServer, default", "mlserver", mlserver(None)),
    Contender("kserve", "KServe", "kserve", kserve),
    Contender("litserve", "LitServe", "litserve", script("on_litserve")),
    Contender("mlflow", "MLflow models serve", "mlflow", mlflow, "MLflow", "/invocations"),
    Contender("bentoml", "BentoML", "bentoml", bentoml, "BentoML", "/predict"),
    Contender("ray", "Ray Serve", "ray", ray, patience_s=120.0),
)  # fmt: skip
