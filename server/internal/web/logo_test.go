package web_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/web/pictures/sample"
)

// onePixel is a GIF.
var onePixel, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAP8AAAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")

func TestLogoIsShownToMembersUntilItIsRemoved(t *testing.T) {
	anna, lucia, carla, marco := open(t, portal, sample.Anna), open(t, portal, sample.Lucia), open(t, portal, sample.Carla), open(t, portal, sample.Marco)
	page := pathOf(t, anna.get("/organizations?q=verdi").body, `href="(/organizations/[0-9a-f-]{36})"`)
	upload := func(b *browser, file []byte) answer {
		t.Helper()
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		part, err := m.CreateFormFile("logo", "logo.gif")
		if err != nil {
			t.Fatal(err)
		}
		part.Write(file)
		m.Close()
		return b.do("POST", page+"/logo", m.FormDataContentType(), &body)
	}
	upload(anna, []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")).want(t, http.StatusUnprocessableEntity, "A logo is a PNG")
	upload(anna, make([]byte, 5<<20)).want(t, http.StatusRequestEntityTooLarge)
	upload(carla, onePixel).want(t, http.StatusForbidden)
	lucia.get(page+"/logo").want(t, http.StatusNotFound)
	upload(anna, onePixel).to(t, page)
	src := pathOf(t, lucia.get("/settings").want(t, http.StatusOK).body, `class="tb-brand own" href="/"><img src="([^"]+)"`)
	if !strings.HasPrefix(src, page+"/logo?v=") {
		t.Errorf("the logo is at %s", src)
	}
	a := lucia.get(src).want(t, http.StatusOK)
	if a.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(a.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the logo comes with %v", a.Header)
	}
	if m, err := png.Decode(strings.NewReader(a.body)); err != nil || m.Bounds().Dx() != 1 {
		t.Errorf("the logo is %v, %v", m, err)
	}
	open(t, portal, sample.Otto).get(src).want(t, http.StatusNotFound)
	if marco.get("/settings"); strings.Contains(marco.get("/settings").body, "tb-brand own") {
		t.Error("staff see a customer's logo in the place of their own")
	}
	anna.post(page+"/logo", "do", "remove").to(t, page)
	lucia.get(src).want(t, http.StatusNotFound)
}
