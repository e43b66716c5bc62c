"""`edgewright emulation`: arm64 CPUs for judging accuracy where there is no device."""

from __future__ import annotations

from pathlib import Path

import click

from ..core.canonical import dumps


@click.group()
def emulation() -> None:
    """Judge accuracy on the kernels of an arm64 CPU that this machine emulates.

    Example: edgewright emulation prepare /var/tmp/arm64
    """


@emulation.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def prepare(folder: Path, as_json: bool) -> None:
    """Make DIR an emulated arm64 device, or complete it, and try each of its CPUs; then `--emulate DIR` takes it.

    Needs root, Debian's debootstrap and qemu-user-static, 700 MB, and minutes. What is there already is not made again.

    Example: edgewright emulation prepare /var/tmp/arm64
    """
    from ..runtimes.emulated.cores import CORES
    from ..runtimes.emulated.emulator import Emulator
    from ..runtimes.emulated.prepare import prepare as make
    from .progress import RichProgress

    progress = RichProgress(is_quiet=as_json)
    root = make(folder, progress)
    emulator = Emulator.open(root.folder)
    cpus = []
    with progress.task("trying its CPUs", len(CORES)) as advance:
        for core in CORES:
            cpus.append(emulator.on(core))
            advance(1)
    wheels = dict(root.wheels())
    if as_json:
        found = {cpu.core.model: sorted(cpu.cpu.flags) for cpu in cpus}
        click.echo(dumps({"folder": str(root.folder), "cpus": found, "wheels": wheels, "qemu": cpus[0].emulator}))
        return
    click.echo(f"{root.folder} is ready: {', '.join(f'{name} {version}' for name, version in wheels.items())}")
    for cpu in cpus:
        click.echo(f"  {cpu}: {' '.join(sorted(cpu.cpu.flags))}")
    click.echo(f"judge there: edgewright compile MODEL --data FILE --profile raspberry-pi-4b --emulate {folder}")
