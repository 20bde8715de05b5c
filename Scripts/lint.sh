#!/bin/bash
# lint.sh: the style of every Swift file, as .swift-format says.
set -euo pipefail
. "$(dirname "$0")/common.sh"
have_swift
swift format lint --strict --parallel --recursive Package.swift Sources Tests Examples
