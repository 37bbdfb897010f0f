"""The Slice contract as Python classes, compiled by whichever Ice runtime is installed.

Generated code would be tied to one release of the runtime; compiling takes a millisecond.
"""

from importlib import import_module, resources

import Ice

with resources.as_file(resources.files("gen.converter.v1") / "conversor.ice") as contract:
    Ice.loadSlice("", [str(contract)])

_module = import_module("Conversor")
ConversorUnidades = _module.ConversorUnidades
ConversorUnidadesPrx = _module.ConversorUnidadesPrx
UnidadInvalidaException = _module.UnidadInvalidaException
