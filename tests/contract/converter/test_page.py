"""The page of the converter in a real browser, used as a person would, served by the gateway's own parts."""

import shutil
import time
from urllib.parse import urlsplit

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright for this interpreter")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine", allow_module_level=True)

expect = sync_api.expect


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    context = browser.new_context(locale="es-ES")
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def visit(context, rest):
    def visit():
        page = context.new_page()
        page.goto(rest.url)
        expect(page.get_by_role("status").first).to_have_text("Servidor conectado")
        return page

    return visit


@pytest.fixture
def page(visit):
    return visit()


def result(page):
    return page.locator("#result")


def convert(page, quantity, value, source, target):
    page.get_by_role("tab", name=quantity).click()
    page.get_by_label("De", exact=True).select_option(source)
    page.get_by_label("A", exact=True).select_option(target)
    page.get_by_label("Valor").fill(value)
    page.get_by_label("Valor").press("Enter")


def test_a_conversion_is_live_and_understands_a_decimal_comma(page):
    page.get_by_role("tab", name="Longitud").click()
    page.get_by_label("De", exact=True).select_option("km")
    page.get_by_label("A", exact=True).select_option("mi")
    page.get_by_label("Valor").press_sequentially("0,609344")
    page.get_by_label("Valor").fill("1,609344")
    expect(result(page)).to_have_text("1")
    expect(page.locator("#note")).to_have_text("Resultado exacto")


def test_the_units_can_be_swapped(page):
    convert(page, "Peso", "1", "lb", "kg")
    expect(result(page)).to_have_text("0,45359237")
    page.get_by_role("button", name="Intercambiar unidades").click()
    expect(result(page)).to_have_text("2,20462262185")


def test_a_tiny_result_is_not_shown_as_zero(page):
    convert(page, "Longitud", "1e-9", "mm", "km")
    expect(result(page)).to_have_text("1e-15")


@pytest.mark.parametrize(("typed", "complaint"), [("abc", "Eso no es un número"), ("", "Ingresa un valor")])
def test_what_is_wrong_is_said(page, typed, complaint):
    page.get_by_label("Valor").fill(typed)
    expect(page.get_by_role("alert")).to_have_text(complaint)
    expect(result(page)).to_have_text("")


def test_a_temperature_below_absolute_zero_is_converted_with_a_warning(page):
    convert(page, "Temperatura", "-300", "°C", "K")
    expect(result(page)).to_have_text("-26,85")
    expect(page.get_by_role("alert")).to_have_text("Por debajo del cero absoluto")


def test_the_light_follows_the_server_and_what_failed_is_asked_again(page, rest):
    rest.connect(connected=False)
    expect(page.get_by_role("status").first).to_have_text("Servidor ICE desconectado")
    page.get_by_label("Valor").fill("20")
    expect(page.get_by_role("alert")).to_have_text("Servidor ICE desconectado")
    rest.connect(connected=True)
    expect(page.get_by_role("status").first).to_have_text("Servidor conectado")
    expect(result(page)).to_have_text("68")


def test_a_late_early_answer_never_overwrites_a_later_one(page):
    expect(result(page)).not_to_have_text("…")
    held = []

    def hold(route):
        if '"value":"1"' in route.request.post_data:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/v1/convert", hold)
    page.get_by_label("Valor").fill("1")
    deadline = time.monotonic() + 10
    while not held and time.monotonic() < deadline:
        page.wait_for_timeout(10)
    page.get_by_label("Valor").fill("10")
    expect(result(page)).to_have_text("50")
    for route in held:
        route.abort()
    page.wait_for_timeout(50)
    expect(result(page)).to_have_text("50")
    expect(page.get_by_role("alert")).to_have_text("")


def test_the_last_five_conversions_survive_a_reload_and_can_be_restored(page):
    for value in ("1", "2", "3", "4", "5", "6"):
        convert(page, "Peso", value, "kg", "g")
        expect(page.locator("#history li").first).to_have_text(f"{value} kg = {value}000 g")
    convert(page, "Velocidad", "36", "km/h", "m/s")
    expect(page.locator("#history li").first).to_have_text("36 km/h = 10 m/s")
    page.reload()
    expect(page.locator("#history li")).to_have_text(
        ["36 km/h = 10 m/s", *(f"{value} kg = {value}000 g" for value in (6, 5, 4, 3))]
    )
    page.get_by_role("button", name="6 kg = 6000 g").click()
    expect(page.get_by_role("tab", name="Peso")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_label("Valor")).to_have_value("6")
    expect(result(page)).to_have_text("6000")
    page.get_by_role("button", name="Borrar").click()
    expect(page.locator("#history li")).to_have_count(0)


def test_language_and_theme_are_chosen_once(page, visit):
    page.get_by_label("Tema").select_option("dark")
    page.get_by_label("Idioma").select_option("en")
    expect(page.get_by_role("heading", level=1)).to_have_text("Unit converter")
    page.reload()
    expect(page.get_by_role("tab", name="Temperature")).to_be_visible()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    assert page.locator("html").get_attribute("lang") == "en"


def test_the_automatic_theme_is_that_of_the_system(page):
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_keyboard_reaches_everything(page):
    page.get_by_role("tab", name="Temperatura").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Longitud")).to_be_focused()
    expect(page.get_by_role("tab", name="Longitud")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("End")
    expect(page.get_by_role("tab", name="Velocidad")).to_be_focused()
    for name in ("Otras magnitudes", "De", "Valor"):
        page.keyboard.press("Tab")
        expect(page.get_by_label(name, exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Intercambiar unidades")).to_be_focused()


def test_quantities_beyond_the_four_are_in_the_list(page):
    page.get_by_label("Otras magnitudes").select_option("Consumo de combustible")
    page.get_by_label("De", exact=True).select_option("mpg")
    page.get_by_label("A", exact=True).select_option("L/100 km")
    page.get_by_label("Valor").fill("50")
    expect(result(page)).to_have_text("4,70429166667")


def test_the_page_needs_nobody_but_its_server(context, rest, visit):
    asked, complaints = [], []
    context.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text))
    convert(visit(), "Peso", "2", "kg", "g")
    assert set(asked) <= {urlsplit(rest.url).netloc, ""}
    assert complaints == []
