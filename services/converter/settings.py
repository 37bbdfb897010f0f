"""What the converter can be told."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from runtime.settings import BackendSettings
from services.converter.ice import checked_proxy


class ConverterSettings(BackendSettings):
    """Settings of the converter process."""

    process: ClassVar[str] = "converter"

    address: str = Field("127.0.0.1:50051", description="gRPC listener, host:port; port 0 picks a free one")
    metrics_address: str = Field("127.0.0.1:9101", description="Prometheus listener, host:port; `off` for none")
    ice_address: str = Field("127.0.0.1:10000", description="Ice listener, host:port; port 0 picks a free one")
    ice_endpoint: Annotated[str, AfterValidator(checked_proxy)] = Field(
        "", description="proxy of a foreign Ice server to speak for, instead of serving Ice: ConversorUnidades:tcp -h …"
    )
