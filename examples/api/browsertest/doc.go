// Package browsertest opens the page of examples/api in a headless Chromium and
// asks whether it shows what it should: a module of its own, so that nobody who
// uses the library downloads what drives a browser.
//
//	go test -count=1 ./...
//	go test -count=1 -artifacts -outputdir /tmp ./...   # keeps the screenshots
//
// Go doesn't see that the page has changed, so a kept result may be an old one:
// hence -count=1.
//
// Without a chromium on PATH (Debian: apt-get install chromium) the tests are
// skipped and say so; with REPRISE_REQUIRE_CHROMIUM=1 they fail.
package browsertest
