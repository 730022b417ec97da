# tools/peers: no part of the build (it has a Makefile of its own), but of what is distributed.
EXTRA_DIST += \
	tools/peers/Makefile \
	tools/peers/README.md \
	tools/peers/RESULTS.md \
	tools/peers/aio_bench.py \
	tools/peers/asio_bench.cpp \
	tools/peers/catalogue.py \
	tools/peers/common.h \
	tools/peers/duel.c \
	tools/peers/fiber_bench.cpp \
	tools/peers/go/go.mod \
	tools/peers/go/main.go \
	tools/peers/install.sh \
	tools/peers/loadgen.c \
	tools/peers/machine.py \
	tools/peers/measure.py \
	tools/peers/raw_core.c \
	tools/peers/raw_cross.c \
	tools/peers/raw_file.c \
	tools/peers/raw_srv.c \
	tools/peers/remarks.json \
	tools/peers/report.py \
	tools/peers/run.py \
	tools/peers/st_bench.c \
	tools/peers/tokio/Cargo.toml \
	tools/peers/tokio/src/main.rs \
	tools/peers/uv_bench.c
