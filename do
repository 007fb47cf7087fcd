#!/bin/sh
# explainer's chores. Each prepares what it needs first; once prepared, that takes no time.
#
#   ./do setup [--without-films]   make .venv and install everything into it
#   ./do demo [ARGUMENT...]        train, record, draw and film: explainer demo
#   ./do test [ARGUMENT...]        ruff, mypy and pytest; with arguments (--thorough: more of it), only pytest with them
#   ./do gallery [FIGURE...]       draw the gallery: figures, films' last frames, a page; or these figures only
#   ./do lint                      ruff and mypy
#   ./do clean [--all]             remove caches and builds; --all removes .venv too
#
# PYTHON=/path/to/python3.12 chooses the interpreter that a new .venv is made with.
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"

TORCH=2.13.0 # the version that the measurements and tests were made with
CPU_INDEX=https://download.pytorch.org/whl/cpu
python=.venv/bin/python
stamp=.venv/explainer-setup
log=.venv/setup.log

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
fail() { # something is not installed, and cannot be
    warn "explainer: $*"
    exit 3
}
misused() {
    warn "explainer: $*"
    exit 2
}
have() { command -v "$1" >/dev/null 2>&1; }

# step WHAT COMMAND...: one line with the seconds it took; the command's own words go to the log.
step() {
    printf '  %-46s' "$1"
    shift
    started=$(date +%s)
    if "$@" >>"$log" 2>&1 </dev/null; then
        printf '%4d s\n' "$(($(date +%s) - started))"
    else
        printf 'failed\n'
        return 1
    fi
}

show_log() {
    tail -n 12 "$log" | sed 's/^/    /' >&2
    warn "    (all of it: $log)"
}

# ── System packages ──────────────────────────────────────────────────────────────────────────────────────────────

may_apt() { [ "$(id -u)" = 0 ] && have apt-get; }

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    # On a bare system the lists are empty and on an old one stale: only then are they fetched.
    apt-get install -y --no-install-recommends "$@" ||
        { apt-get update && apt-get install -y --no-install-recommends "$@"; }
}

# What pycairo and manimpango need to be built and is not here; empty when they can be built, or are installed.
films_lack() {
    "$python" -c 'import sys; from importlib.util import find_spec as f
sys.exit(not all(map(f, ("manim", "cairo", "manimpango", "typst"))))' 2>/dev/null && return
    have "${CC:-cc}" || have gcc || have clang || printf 'compiler '
    [ -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || printf 'headers '
    if [ "$(uname)" = Darwin ]; then libraries=cairo; else libraries='cairo pangocairo'; fi
    # shellcheck disable=SC2086 # two words
    pkg-config --exists $libraries 2>/dev/null || printf 'libraries '
}

# The line that installs them on this system.
films_line() {
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if have apt-get; then
        case $1 in *headers*) headers=" python$version-dev" ;; *) headers= ;; esac
        say "apt-get install gcc libc6-dev pkg-config libcairo2-dev libpango1.0-dev$headers"
    elif have dnf; then
        say "dnf install gcc pkgconf-pkg-config cairo-devel pango-devel python3-devel"
    elif have pacman; then
        say "pacman -S --needed gcc pkgconf cairo pango"
    elif have brew || [ "$(uname)" = Darwin ]; then
        say "brew install cairo pkg-config"
    fi
}

films_advice() {
    line=$(films_line "$1")
    case $line in
        '') line='install a C compiler, pkg-config and the headers of Python, cairo and pango' ;;
        brew*) line="type   $line" ;;
        *) line="type   $([ "$(id -u)" = 0 ] || printf 'sudo ')$line" ;;
    esac
    say "Films are left out, figures are made. For films: $line"
    say "and then   ./do setup"
}

# What the page's tests need beside Python: a chromium. The system's own, because Playwright's is a download.
have_browser() {
    [ -z "${EXPLAINER_CHROMIUM:-}" ] || return 0
    for name in chromium chromium-browser google-chrome-stable google-chrome; do
        if have "$name"; then return; fi
    done
    return 1
}

browser() {
    if have_browser; then return; fi
    if may_apt; then step "chromium for the page's tests, by apt" apt_install chromium || show_log; fi
    if have_browser; then return; fi
    if have apt-get; then line='type   sudo apt-get install chromium'; else line='install Chromium or Chrome'; fi
    say "The page's tests will be skipped. For them: $line"
    say "or name one with EXPLAINER_CHROMIUM=/path/to/chromium"
}

# ── Python and .venv ─────────────────────────────────────────────────────────────────────────────────────────────

is_python() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13 python3.14 python; do
        if is_python "$candidate"; then
            say "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    if [ -f "$stamp" ] && ! grep -qxF "in $PWD" "$stamp"; then
        say "This .venv was made in another folder and is made anew."
        rm -rf .venv
    fi
    if is_python "$python"; then return; fi
    base=$(find_python) || base=
    rm -rf .venv
    mkdir .venv
    if [ -z "$base" ] && may_apt; then
        step "python3, by apt" apt_install python3 python3-venv || show_log
        base=$(find_python) || base=
    fi
    [ -n "$base" ] ||
        fail "Python 3.11 to 3.14 is needed and none was found: install one, or name it with PYTHON=/path/to/python3"
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        package=python$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
        if may_apt; then step "$package, by apt" apt_install "$package" || show_log; fi
        "$base" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$base cannot make environments: type   sudo apt-get install $package   and run this again"
    fi
    step "environment in .venv" "$base" -m venv .venv || { show_log; fail "$base -m venv failed"; }
}

# ── Installing ───────────────────────────────────────────────────────────────────────────────────────────────────

pip() { "$python" -m pip "$@"; }

# What pip was told, by its environment or its files: pip_setting find-links
pip_setting() {
    for section in ':env:' install global; do
        value=$(printf '%s\n' "$pip_settings" | sed -n "s/^$section\.$1=['\"]\(.*\)['\"]\$/\1/p" | sed 's/\\n/ /g')
        # shellcheck disable=SC2086 # folds blanks
        if [ -n "$value" ]; then echo $value && return; fi
    done
}

# uv reads none of pip's configuration: hand it what decides where packages come from, and how they are reached.
tell_uv() {
    pip_settings=$(pip config list 2>/dev/null) || pip_settings=
    find_links=$(pip_setting find-links | tr ' ' ',')
    index=$(pip_setting index-url)
    more=$(pip_setting extra-index-url)
    cert=$(pip_setting cert)
    proxy=$(pip_setting proxy)
    trusted=$(pip_setting trusted-host)
    [ -z "$find_links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$find_links}"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    # pip takes the best version of all indexes, uv by itself that of the first which knows the name.
    [ -z "$more" ] || export UV_INDEX="${UV_INDEX:-$more}" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
    [ -z "$cert" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$cert}"
    [ -z "$proxy" ] || export HTTPS_PROXY="${HTTPS_PROXY:-$proxy}" HTTP_PROXY="${HTTP_PROXY:-$proxy}"
    [ -z "$trusted" ] || export UV_INSECURE_HOST="${UV_INSECURE_HOST:-$trusted}"
}

# uv where it could be had, else pip; both understand these arguments.
install() {
    if [ -x .venv/bin/uv ] && .venv/bin/uv pip install --python "$python" "$@"; then return; fi
    pip install --timeout 30 --retries 1 "$@"
}

version_of() { "$python" -c "from importlib.metadata import version; print(version('$1'))" 2>/dev/null; }

# Four seconds for an answer; the alarm also ends a name lookup that hangs.
reachable() {
    "$python" -c 'import signal, sys, urllib.request
signal.alarm(6)
urllib.request.urlopen(urllib.request.Request(sys.argv[1], method="HEAD"), timeout=4)' "$1" >>"$log" 2>&1
}

# Chosen before the rest, because PyPI's torch for Linux brings 2.7 GB for NVIDIA GPUs. Only CPU builds are
# called "+cpu": asking for that name never fetches the large one by mistake.
install_torch() {
    if version_of torch >/dev/null; then return; fi
    if [ "$(uname)" != Linux ]; then
        step "torch $TORCH" install "torch==$TORCH" && return
    elif nvidia-smi -L >/dev/null 2>&1; then
        (unset UV_FIND_LINKS && step "torch $TORCH, for the NVIDIA GPU" install "torch==$TORCH") && return
    else
        step "torch $TORCH, for the CPU" install --no-deps "torch==$TORCH+cpu" && return
        say "  None where pip looks: asking PyTorch's own index"
        if reachable "$CPU_INDEX/torch/"; then
            step "torch $TORCH, from PyTorch's CPU index" \
                install --no-deps --index-url "$CPU_INDEX" "torch==$TORCH+cpu" && return
        fi
        say "  PyTorch's index does not answer: taking PyPI's torch, 2.7 GB with its GPU libraries"
        step "torch $TORCH, from PyPI" install "torch==$TORCH" && return
    fi
    show_log
    fail "torch $TORCH could not be installed"
}

# install_project EXTRAS: explainer itself, editable; the constraint keeps every package from replacing torch.
install_project() {
    say "torch==$(version_of torch)" >.venv/constraints.txt
    install --constraint .venv/constraints.txt --editable ".[$1]"
}

# The first import of these takes seconds longer, because uv leaves Python files uncompiled. Once here, rather than in
# every process of a first demo, or for ever where PYTHONDONTWRITEBYTECODE is set. What is missing is passed over.
# A step is recorded too: it loads what torch loads first with an optimizer, and makes numba's machine code.
compile_imports() {
    import_all matplotlib.pyplot pandas sklearn.datasets manim typst & # at the same time: it is a core's work
    import_all torch torchvision
    env -u PYTHONDONTWRITEBYTECODE "$python" -c 'import explainer, torch
model = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with explainer.record(model, optimizer=optimizer):
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()'
    wait
}

import_all() {
    env -u PYTHONDONTWRITEBYTECODE "$python" -c 'import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(Exception):
        importlib.import_module(name)' "$@"
}

install_all() {
    step "uv, which installs the rest" pip install --timeout 30 --retries 1 'uv>=0.5' || say "  (pip does it instead)"
    tell_uv
    install_torch
    if [ "$state" = films ]; then
        step "explainer with films and checks" install_project dev,films && return
        say "  The films' packages could not be installed (why: $log): going on without them"
        state=failed
    fi
    step "explainer with checks" install_project dev && return
    show_log
    fail "explainer's packages could not be installed; once the cause above is mended, ./do setup goes on"
}

# ── setup ────────────────────────────────────────────────────────────────────────────────────────────────────────

# Is .venv what this pyproject.toml and this script would make? Films that were lacking are looked for again.
settled() {
    [ -f "$stamp" ] && [ "$(sed -n 2p "$stamp")" = "$key" ] || return 1
    case $(sed -n 3p "$stamp"):$films in
        films:*) ;;
        declined:yes | failed:yes) return 1 ;;
        lacking:no | declined:* | failed:*) ;;
        lacking:*)
            lack=$(films_lack)
            [ -n "$lack" ] && films_advice "$lack"
            ;;
    esac
}

# setup [yes|no|as-before]: with films, without, or as it was set up the last time (at first, with films).
setup() {
    films=${1:-as-before}
    begun=$(date +%s)
    make_venv
    key="$(cat pyproject.toml ./do | cksum) $("$python" -V)"
    if settled; then return; fi
    rm -f "$stamp"
    say "Setting up explainer with $("$python" -V)"
    state=films
    lack=
    if [ "$films" = no ]; then
        state=declined
    else
        lack=$(films_lack)
        if [ -n "$lack" ] && may_apt; then
            # shellcheck disable=SC2046 # the line is words
            step "what films need of the system, by apt" apt_install $(films_line "$lack" | cut -d' ' -f3-) || show_log
            lack=$(films_lack)
        fi
        [ -z "$lack" ] || state=lacking
    fi
    install_all
    step "compiling what is imported most" compile_imports || true
    printf 'in %s\n%s\n%s\n' "$PWD" "$key" "$state" >"$stamp"
    say "Ready in $(($(date +%s) - begun)) s."
    [ "$state" != lacking ] || films_advice "$lack"
}

# ── The chores ───────────────────────────────────────────────────────────────────────────────────────────────────

lint() {
    status=0
    .venv/bin/ruff check . || status=1
    .venv/bin/mypy || status=1
    return $status
}

run_tests() {
    [ $# = 0 ] || exec "$python" -m pytest "$@"
    # What lint found does not keep the tests from running. mypy works on one core for more than a minute, and so goes
    # along beside them, giving way; where it finds nothing, their closing line is the last one.
    linted=0
    .venv/bin/ruff check . || linted=1
    say "mypy goes along beside the tests: what it finds is told after them."
    nice -n 5 .venv/bin/mypy >.venv/mypy.log 2>&1 &
    mypy=$!
    trap 'kill "$mypy" 2>/dev/null; exit 130' INT # which a shell's background jobs do not hear
    # A file's tests stay together: they share what they recorded. The order of the files is tests/conftest.py's. The
    # hundred processes that they start would each compile torch and manim anew, seconds every time, where
    # PYTHONDONTWRITEBYTECODE is set.
    status=0
    env -u PYTHONDONTWRITEBYTECODE "$python" -m pytest -n auto --dist loadfile --no-loadscope-reorder || status=$?
    wait "$mypy" || { linted=1 && cat .venv/mypy.log; }
    [ $status = 0 ] || exit $status
    [ $linted = 0 ] || { warn "explainer: the tests pass, but ruff or mypy found something (above)" && exit 1; }
}

clean() {
    rm -rf build dist media .hypothesis .mypy_cache .pytest_cache .ruff_cache
    find . -name .venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +
    [ "${1:-}" != --all ] || rm -rf .venv
}

command=${1:-help}
[ $# = 0 ] || shift
case $command in
    setup)
        case ${1:-} in
            '') setup yes ;;
            --without-films) setup no ;;
            *) misused "setup takes --without-films, not $1" ;;
        esac
        browser
        ;;
    demo)
        setup
        exec .venv/bin/explainer demo "$@"
        ;;
    test)
        setup
        browser
        run_tests "$@"
        ;;
    gallery)
        setup
        if [ $# = 0 ]; then
            browser
            "$python" docs/draw_page.py
            set -- --films
        fi
        exec "$python" docs/draw_gallery.py "$@"
        ;;
    lint)
        setup
        lint
        ;;
    clean) clean "$@" ;;
    help | -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" ;;
    *) misused "no chore is called $command; there are setup, demo, test, gallery, lint and clean" ;;
esac
