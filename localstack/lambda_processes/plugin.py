"""What LocalStack finds by its entry points. It looks at every plugin as it starts, so everything heavy waits."""

from typing import Any

from localstack.runtime import hooks
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin


class Processes(RuntimeExecutorPlugin):
    """What `LAMBDA_RUNTIME_EXECUTOR=process` chooses."""

    name = "process"

    def load(self, *_args: Any, **_kwargs: Any) -> Any:
        from lambda_processes.executor import ProcessExecutor  # noqa: PLC0415  # see above

        return ProcessExecutor


@hooks.on_runtime_create()  # type: ignore[untyped-decorator]
def loopback_only() -> None:
    """LocalStack's server leaves out the host part of `GATEWAY_LISTEN` and listens on every interface."""
    from twisted.internet import endpoints  # noqa: PLC0415

    from localstack import config  # noqa: PLC0415  # see above

    hosts = {each.port: each.host for each in config.GATEWAY_LISTEN}

    original: Any = endpoints.TCP4ServerEndpoint

    def as_asked(reactor: Any, port: int, backlog: int = 50, interface: str = "") -> Any:
        return original(reactor, port, backlog, interface or hosts.get(port, "127.0.0.1"))

    endpoints.TCP4ServerEndpoint = as_asked  # type: ignore[assignment, misc]


@hooks.on_runtime_create()  # type: ignore[untyped-decorator]
def own_certificate() -> None:
    """LocalStack would download one, or make one by what pyOpenSSL no longer has."""
    from lambda_processes.certificate import provide  # noqa: PLC0415  # see above

    provide()


@hooks.on_infra_start()  # type: ignore[untyped-decorator]
def schedules_on_demand() -> None:
    """LocalStack never fires a schedule of EventBridge Scheduler; a request of ours does."""
    from lambda_processes.schedules import serve  # noqa: PLC0415  # see above

    serve()


@hooks.on_infra_start()  # type: ignore[untyped-decorator]
def plain_keys() -> None:
    from lambda_processes.notifications import mend  # noqa: PLC0415  # see above

    mend()


@hooks.on_infra_start()  # type: ignore[untyped-decorator]
def ends_with_its_starter() -> None:
    """However the program ends that started LocalStack, nothing of it stays behind."""
    from lambda_processes.runtime import end_with_parent  # noqa: PLC0415  # see above

    end_with_parent()
