// What a page does beyond its forms: the countdown, the draft, and telling the server that it is there.
"use strict";
const kind = document.body.dataset.kind || "";
const events = new EventSource("/events?for=" + kind);

if (kind === "consent") {
  const left = document.getElementById("left"), said = document.getElementById("left-said");
  events.addEventListener("left", (e) => {
    left.textContent = e.data;
    const n = parseInt((e.data.match(/\d+/) || ["0"])[0], 10);
    if (n === 30 || n === 10) said.textContent = e.data; // a screen reader hears it twice, not each second
  });
  events.addEventListener("over", () => { events.close(); location.reload(); });
  document.getElementById("hours").addEventListener("change", () => { document.getElementById("for-hours").checked = true; });
  const allow = document.getElementById("allow");
  allow.disabled = true;
  setTimeout(() => { allow.disabled = false; }, 1000);
  allow.addEventListener("keydown", (e) => { if (e.key === "Enter") e.preventDefault(); });
  document.addEventListener("keydown", (e) => { if (e.key === "Escape") document.getElementById("refuse").click(); });
}

if (kind === "form") {
  const form = document.getElementById("form");
  let timer;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const data = new URLSearchParams();
      for (const [k, v] of new FormData(form)) if (typeof v === "string") data.append(k, v);
      fetch("/draft", { method: "POST", body: data }).catch(() => {});
    }, 400);
  });
  form.addEventListener("submit", () => clearTimeout(timer));
}

const copy = document.getElementById("copy");
if (copy) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    const plain = document.getElementById("plain"), told = document.getElementById("copied");
    try { await navigator.clipboard.writeText(plain.value); } catch { plain.select(); return; }
    told.textContent = told.dataset.copied;
  });
}
const first = document.querySelector(".told-first") || document.querySelector("[aria-invalid=true]");
if (first) first.focus();
