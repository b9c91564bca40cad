"""The headless browser that pages are tested in sees what goes wrong on them."""

PAGE = """<!doctype html><title>t</title><style>body { background: white } div { width: 600px; height: 1px }
@media (prefers-color-scheme: dark) { body { background: black } }</style><div></div>"""


def test_a_good_page_is_quiet(tmp_path, open_page):
    path = tmp_path / "good.html"
    path.write_text(PAGE + "<script>document.title = 'ran'</script>")
    opened = open_page(path, width=800, dark=True)
    assert (opened.page.title(), opened.errors, opened.requests, opened.overflow) == ("ran", [], [], 0)
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(0, 0, 0)"
    assert open_page(path, width=375).overflow > 0


def test_errors_and_requests_are_seen(tmp_path, open_page):
    path = tmp_path / "bad.html"
    path.write_text(PAGE + "<img src='http://127.0.0.1:9/x.png'><script>console.error('said'); nothing()</script>")
    opened = open_page(path)
    assert "said" in opened.errors
    assert any("nothing is not defined" in error for error in opened.errors)
    assert opened.requests == ["http://127.0.0.1:9/x.png"]
