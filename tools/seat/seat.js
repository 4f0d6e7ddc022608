// The employee's seat: takes the token of the address for a cookie, then shows the desktop by noVNC.
import RFB from "/novnc/core/rfb.js";

const state = document.getElementById("state");
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", "/"); // out of the address bar and the history
  const r = await fetch("/enter", { method: "POST", body: token });
  if (!r.ok) state.textContent = await r.text();
}

function connect() {
  const rfb = new RFB(document.getElementById("screen"), `ws://${location.host}/rfb`, { shared: true, wsProtocols: ["binary"] });
  rfb.scaleViewport = true;
  rfb.qualityLevel = 9;
  rfb.addEventListener("connect", () => { state.textContent = "Connected"; rfb.focus(); });
  rfb.addEventListener("disconnect", () => {
    state.textContent = "Not connected. Open the address that was printed, or wait.";
    document.getElementById("screen").replaceChildren();
    setTimeout(connect, 2000);
  });
}
connect();
