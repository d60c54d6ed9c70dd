package main

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// save writes a plot as SVG. The font is one that few have installed: whatever
// has no serifs will do.
func save(p *plot.Plot, path string, width, height vg.Length) error {
	canvas := vgsvg.New(width, height)
	margin := vg.Points(10)
	p.Draw(draw.Crop(draw.New(canvas), margin, -2*margin, margin, -margin))
	var buffer bytes.Buffer
	if _, err := canvas.WriteTo(&buffer); err != nil {
		return err
	}
	text := strings.ReplaceAll(buffer.String(), "font-family:Liberation Sans;", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")
	return os.WriteFile(path, []byte(text), 0o644)
}

// decades marks the powers of ten of a logarithmic axis.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	if low <= 0 {
		low = 1
	}
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		ticks = append(ticks, plot.Tick{Value: math.Pow(10, e), Label: strconv.FormatFloat(math.Pow(10, e), 'f', -1, 64)})
		for m := 2.0; m < 10; m++ {
			ticks = append(ticks, plot.Tick{Value: m * math.Pow(10, e)})
		}
	}
	return ticks
}
