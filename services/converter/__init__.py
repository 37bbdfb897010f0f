"""The converter backend: unit conversion over gRPC and over ZeroC Ice."""
