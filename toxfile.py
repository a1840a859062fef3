# SPDX-License-Identifier: GPL-2.0-only
"""For tox: interpreters of pyenv are found although they are not on PATH, as those of uv and Debian are."""

from __future__ import annotations

import os
from pathlib import Path

from tox.config.sets import ConfigSet
from tox.plugin import impl
from tox.session.state import State


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:
    """Let every interpreter of pyenv count as one given with --discover."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    # 3.9 and older are of no use here, and some answer slowly.
    state.conf.options.discover += map(str, sorted(root.glob("versions/3.[1-9][0-9]*/bin/python")))
