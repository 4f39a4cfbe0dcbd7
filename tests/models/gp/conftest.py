"""Both kernels, for whoever asks for `kernel`."""

import pytest

from models.gp.processes import KERNELS


@pytest.fixture(params=list(KERNELS))
def kernel(request):
    return KERNELS[request.param]
