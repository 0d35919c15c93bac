# CoreDNS with all its plugins and longnames, and nothing else: `make image` builds it. It needs neither a shell nor
# files of its own; certificate authorities are in the binary.
FROM scratch
ARG VERSION
ARG COMMIT
LABEL org.opencontainers.image.title="CoreDNS with longnames" \
      org.opencontainers.image.description="CoreDNS that tells Erlang and Elixir nodes on Kubernetes the names of their cluster" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/longnames/longnames" \
      org.opencontainers.image.documentation="https://github.com/longnames/longnames/blob/main/README.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"
# Without file capabilities: these would keep it from starting where all capabilities are dropped.
COPY --chown=0:0 --chmod=0755 bin/coredns /coredns
WORKDIR /
# A number, for Kubernetes cannot tell of a name that it is not root's.
USER 65532:65532
EXPOSE 53/udp 53/tcp
ENTRYPOINT ["/coredns"]
