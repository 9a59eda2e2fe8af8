#!/usr/bin/env bash
# This runtime on an NVIDIA GPU, beside torch on the same card, in under eight minutes, on a machine that has nothing
# but a driver and a Python with torch, numpy and onnx: no network, no Rust, no ONNX Runtime.
#
#   benches/gpu.sh --pack DIR [MIB]   here: builds with --features cuda, fetches ONNX Runtime for CUDA and writes DIR:
#                                     this script, parts of at most MIB (60) and their sums
#   bash gpu.sh                       there, in DIR: takes the parts that lie beside it and says which are missing;
#                                     once all have come it measures. Call it again to go on where it was
#   benches/gpu.sh --dry-run          here: all of it but the packing, on the processor with small models
#
# WORK keeps parts and models between calls, OUT gets gpu.json and gpu.md, LIMIT is in seconds. WITH_CUDA=1 packs
# NVIDIA's libraries, too (1 GB), for a machine whose Python has no torch for CUDA 13.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
WORK="${WORK:-/tmp/mini-omni-gpu}"
OUT="${OUT:-$WORK/results}"
LIMIT="${LIMIT:-450}"
PYTHON="${PYTHON:-python3}"
ONNXRUNTIME=1.31.1
ARCHITECTURE="${ARCHITECTURE:-90}" # 90: H100 and H200; kernels of others do not travel
# What the measurements need of the source tree.
SOURCES=(benches/gpu.py export/mini_omni_export export/tests/reference export/tests/random_checkpoint.py
	export/tests/parity/torch_run.py export/tests/parity/write_full.py
	tests/fixtures/tiny/portable tests/fixtures/tiny/checkpoint tests/fixtures/audio/output1.wav)
NVIDIA=(nvidia-cublas nvidia-cuda-runtime nvidia-cuda-nvrtc nvidia-cufft nvidia-curand nvidia-cudnn-cu13)

pack() {
	local root to="$1" mib="${2:-60}" tree
	root="$(cd "$HERE/.." && pwd)"
	mkdir -p "$to/tree/lib"
	to="$(cd "$to" && pwd)"
	tree="$to/tree"
	(cd "$root" && cargo build --release --features cuda)
	cp "$root/target/release/mini-omni" "$tree/"
	(cd "$root" && cp -r --parents "${SOURCES[@]}" "$tree/")
	find "$tree" -name __pycache__ -prune -exec rm -r {} +
	fetch "$to/wheels" "onnxruntime-gpu==$ONNXRUNTIME"
	[ -z "${WITH_CUDA:-}" ] || fetch "$to/wheels" "${NVIDIA[@]}"
	for wheel in "$to"/wheels/*.whl; do
		"$PYTHON" -m zipfile -e "$wheel" "$to/unpacked"
	done
	find "$to/unpacked" -name '*.so*' ! -name '*pybind11*' ! -name '*tensorrt*' -exec cp {} "$tree/lib/" \;
	"$PYTHON" "$HERE/thin.py" "$tree/lib/libonnxruntime_providers_cuda.so" "$ARCHITECTURE"
	rm -f "$to"/part.*
	tar -C "$tree" -c . | xz -9e -T0 | split -b "${mib}M" -d -a 3 - "$to/part."
	(cd "$to" && sha256sum part.* >parts.sha256)
	rm -r "$tree" "$to/unpacked"
	cp "$HERE/gpu.sh" "$to/"
	echo "$(wc -l <"$to/parts.sha256") parts are in $to; each call there needs gpu.sh, parts.sha256 and one of them"
}

fetch() {
	local to="$1"
	shift
	"$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 --dest "$to" \
		--platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 "$@"
}

# Keeps the parts of this call; whether all are there.
join_parts() {
	local part missing=()
	[ ! -e "$WORK/tree/complete" ] || return 0
	mkdir -p "$WORK/parts"
	for part in "$HERE"/part.*; do
		[ ! -e "$part" ] || cp "$part" "$WORK/parts/"
	done
	while read -r sum part; do
		echo "$sum  $WORK/parts/$part" | sha256sum --check --status 2>/dev/null || missing+=("$part")
	done <"$HERE/parts.sha256"
	if [ ${#missing[@]} -gt 0 ]; then
		echo "still to come: ${missing[*]}"
		return 1
	fi
	mkdir -p "$WORK/tree"
	cat "$WORK"/parts/part.* | xz -d -T0 | tar -C "$WORK/tree" -x
	touch "$WORK/tree/complete"
}

# Folders of NVIDIA's libraries that come with torch.
torch_libraries() {
	"$PYTHON" - <<-'PYTHON' 2>/dev/null || true
		import nvidia, pathlib
		found = {str(f.parent) for place in nvidia.__path__ for f in pathlib.Path(place).rglob("*.so*")}
		print(":".join(sorted(found)))
	PYTHON
}

measure() {
	local tree="$1"
	shift
	mkdir -p "$OUT"
	"$PYTHON" "$tree/benches/gpu.py" --binary "$BINARY" --work "$WORK/models" --out "$OUT" --limit "$LIMIT" "$@"
}

case "${1:-}" in
--pack)
	pack "${2:?a folder for the parts}" "${3:-}"
	;;
--dry-run)
	BINARY="${BINARY:-$HERE/../target/release/mini-omni}" measure "$HERE/.." --provider cpu --small
	;;
"")
	join_parts || exit 0
	nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
	export ORT_DYLIB_PATH="$WORK/tree/lib/libonnxruntime.so.$ONNXRUNTIME"
	LD_LIBRARY_PATH="$WORK/tree/lib:$(torch_libraries):/usr/local/cuda/lib64:${LD_LIBRARY_PATH:-}"
	export LD_LIBRARY_PATH
	BINARY="$WORK/tree/mini-omni" measure "$WORK/tree" --provider cuda
	;;
*)
	sed -n '2,14p' "$0"
	exit 2
	;;
esac
