// Puts the page's main part anew every few seconds, unless somebody is about to type, confirm or select something in it.
"use strict";

const isBusy = (main) =>
  document.hidden ||
  main.querySelector("input:focus, button:focus, .actions details[open]") !== null ||
  !document.getSelection().isCollapsed;

async function renew() {
  const main = document.querySelector("main[data-live]");
  if (main === null || isBusy(main)) return;
  const note = document.getElementById("freshness");
  try {
    const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = fresh.querySelector("main[data-live]");
    if (next === null || isBusy(main)) return;
    for (const open of main.querySelectorAll("details[open][id]")) next.querySelector(`#${open.id}`)?.setAttribute("open", "");
    main.replaceWith(document.adoptNode(next));
    note.replaceWith(document.adoptNode(fresh.getElementById("freshness")));
  } catch {
    note.textContent = `${note.dataset.stale} ${note.dataset.at}.`;
  }
}

function wait() {
  const live = document.querySelector("main[data-live]");
  if (live !== null) setTimeout(() => renew().finally(wait), 1000 * Number(live.dataset.live));
}

wait();
