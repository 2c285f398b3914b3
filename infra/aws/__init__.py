"""The catalogue on AWS: S3 says on EventBridge what appeared, and Lambdas, each with a role of its own, answer it."""

import pulumi
import pulumi_aws as aws

from functions.catalogue import CATALOGUE
from infra.aws import events, failures, http, jobs, schedule, store, watch
from infra.aws.function import LambdaFunction
from infra.aws.place import Place, find
from infra.config import Stack
from infra.names import TO_TRY
from infra.packages import Packages
from samara.catalogue import submitter, told_of_failures


def deploy(stack: Stack, packages: Packages) -> None:
    """Everything of `stack`, with the commands to try next as its outputs."""
    place = find(stack)
    bucket, dead = store.create(place), failures.queue(place)
    batch = jobs.create(place, bucket, submitter(CATALOGUE))
    store.upload(place, bucket, batch.package, packages[batch.package], keep=True)
    functions = {
        spec.name: LambdaFunction(spec, place=place, store=bucket, batch=batch, dead=dead, packages=packages)
        for spec in CATALOGUE
    }
    _wake(place, bucket, functions, dead)
    watch.create(place, dead)
    urls = {name: url.function_url for name, one in functions.items() if (url := http.expose(place, one))}
    _tell(bucket, batch, dead, urls)


def _wake(place: Place, bucket: store.Store, functions: dict[str, LambdaFunction], dead: aws.sqs.Queue) -> None:
    """Objects, the clock and failures, each to the functions whose entries name them."""
    (teller,) = (functions[spec.name] for spec in told_of_failures(CATALOGUE))
    rules = [events.connect(place, bucket, one, dead) for one in functions.values() if one.spec.wakes_on]
    rules.append(failures.connect(place, dead, teller, [one for one in functions.values() if one is not teller]))
    failures.let_in(place, dead, rules)
    clocks = schedule.group(place)
    for one in functions.values():
        schedule.connect(place, clocks, one, dead)


def _tell(bucket: store.Store, batch: jobs.Batch, dead: aws.sqs.Queue, urls: dict[str, pulumi.Output[str]]) -> None:
    """What a person needs next."""
    pulumi.export("bucket", bucket.bucket.bucket)
    pulumi.export("store", bucket.address)
    pulumi.export("jobs", batch.address)
    pulumi.export("dead_letters", dead.url)
    pulumi.export("urls", urls)
    setting = pulumi.Output.concat("export SAMARA_STORE='", bucket.address, "' SAMARA_JOBS='", batch.address, "'")
    pulumi.export("next", [setting, *TO_TRY])
