# The server as a container, without torch. See docs/server.md.
#     docker build -t anti-i2v .
#     docker build -t anti-i2v:gpu --build-arg VARIANT=gpu .
# BASE: any Debian-like image with `python` 3.11 or newer.
ARG BASE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE} AS build
# The extra that chooses ONNX Runtime: cpu or gpu. gpu takes the CUDA libraries from the package index.
ARG VARIANT=cpu
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
RUN python -m venv /opt/uv && /opt/uv/bin/python -m pip install --quiet --no-cache-dir uv==0.13.9
RUN python -m venv --without-pip /opt/anti-i2v
WORKDIR /src
# Dependencies first, so that a change of the source keeps this layer.
COPY pyproject.toml README.md LICENSE ./
COPY server/without-torch.txt server/constraints.txt server/
RUN if [ "${VARIANT}" = gpu ]; then set -- "onnxruntime-gpu[cuda,cudnn]"; fi \
    && /opt/uv/bin/uv pip install --quiet --python /opt/anti-i2v \
        --override server/without-torch.txt --constraint server/constraints.txt \
        -r pyproject.toml --extra server --extra heif --extra "${VARIANT}" "$@"
COPY sdk/anti_i2v sdk/anti_i2v
COPY server/anti_i2v_server server/anti_i2v_server
COPY export/anti_i2v_export export/anti_i2v_export
RUN /opt/uv/bin/uv pip install --quiet --python /opt/anti-i2v --no-deps .

FROM ${BASE}
COPY --from=build /opt/anti-i2v /opt/anti-i2v
# ONNX Runtime looks for CUDA among the system's libraries. The CPU variant has none.
RUN find /opt/anti-i2v -type d -path "*/nvidia/*/lib" > /etc/ld.so.conf.d/anti-i2v.conf && ldconfig \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin anti-i2v \
    && install -d -m 700 -o 10001 -g 10001 /data
ENV PATH=/opt/anti-i2v/bin:$PATH ANTI_I2V_HOME=/data NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
# Hashes of tokens, and exported encoders in onnx/. Never photos.
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8765, timeout=4); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
# The server listens on every address of the container, so it needs ANTI_I2V_TOKEN. --publish decides who reaches it.
ENTRYPOINT ["anti-i2v", "serve", "--host", "0.0.0.0"]
