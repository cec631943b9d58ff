# Hale as one static program in an image without a shell. It runs as nobody in particular and writes nothing.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -ldflags="-s -w" -o /out/hale ./cmd/hale

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/hale /hale
USER 65532:65532
EXPOSE 8443 8883
ENTRYPOINT ["/hale"]
CMD ["--help"]
