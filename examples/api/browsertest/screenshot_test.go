package browsertest

import (
	"context"
	"os"
	"path/filepath"

	"github.com/chromedp/chromedp"
)

// shoot keeps a picture of the page as an artefact of the test.
func (b *tab) shoot(name string, width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height), chromedp.Evaluate[chromedp.Void](`scrollTo(0, 0)`))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(b.t.ArtifactDir(), name+".png")
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("kept %s", file)
}
