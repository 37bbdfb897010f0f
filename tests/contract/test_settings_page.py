import pytest

from deploy.settings_page import MODELS, PAGE, page


def test_the_page_of_settings_is_what_the_models_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m deploy.settings_page"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.process)
def test_every_setting_says_what_it_is_for(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []
