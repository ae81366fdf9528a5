/* What the portal does in the browser beyond links and forms; every page works without it. */
(() => {
  "use strict";

  const root = document.documentElement;

  const copyText = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      await navigator.clipboard.writeText(text);
      return;
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "visually-hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("copying was refused");
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const word = button.querySelector("[data-word]");
    const before = word.textContent;
    try {
      await copyText(source.textContent.trim());
      word.textContent = button.dataset.copied;
    } catch {
      window.getSelection().selectAllChildren(source);
      word.textContent = button.dataset.failed;
    }
    setTimeout(() => { word.textContent = before; }, 2000);
  });

  /* Filters change the address without a new page: a switch has to come back to what is shown now. */
  document.addEventListener("submit", (event) => {
    const next = event.target.matches("[data-back-here]") && event.target.querySelector("[name=next]");
    if (next) next.value = location.pathname + location.search;
  }, true);

  /* On a phone filters would push the list out of sight, so they are folded until one is wanted or set. */
  const phone = matchMedia("(max-width: 52rem)");
  const fold = () => {
    const isFiltered = document.querySelector(".chip.removable") !== null;
    document.querySelectorAll("[data-fold-narrow]").forEach((one) => { one.open = !phone.matches || isFiltered; });
  };
  phone.addEventListener("change", fold);
  fold();

  /* The theme changes at once; the form would do the same with a reload. */
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.matches("[data-theme-form]") && event.submitter) {
      event.preventDefault();
      const theme = event.submitter.value;
      root.dataset.theme = theme;
      document.cookie = `theme=${theme};path=/;max-age=31536000;samesite=lax${location.protocol === "https:" ? ";secure" : ""}`;
      form.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(one === event.submitter)));
    }
    if (form.matches("[data-once]")) {
      /* After the submission has been collected: a disabled button would not be sent. */
      setTimeout(() => form.querySelectorAll("[type=submit]").forEach((one) => { one.disabled = true; }));
    }
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("[data-once] [type=submit]").forEach((one) => { one.disabled = false; });
  });

  /* An open menu closes on Escape and on a click elsewhere. */
  const closeMenus = (except) => document.querySelectorAll("details.menu[open]").forEach((one) => { if (one !== except) one.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });

  /* Sections with headings become tabs. */
  const makeTabs = (box) => {
    const sections = [...box.querySelectorAll(":scope > section")];
    if (sections.length < 2 || box.classList.contains("on")) return;
    const list = document.createElement("div");
    list.className = "tablist";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", box.dataset.tabs);
    const tabs = sections.map((section, index) => {
      const heading = section.querySelector("h3");
      const tab = document.createElement("button");
      tab.type = "button";
      tab.className = "tab";
      tab.id = `${section.id}-tab`;
      tab.textContent = heading.textContent;
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", section.id);
      tab.addEventListener("click", () => choose(index));
      heading.hidden = true;
      section.setAttribute("role", "tabpanel");
      section.setAttribute("aria-labelledby", tab.id);
      return tab;
    });
    const choose = (chosen, focus) => tabs.forEach((tab, index) => {
      const on = index === chosen;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      sections[index].hidden = !on;
      if (on && focus) tab.focus();
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose((tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length, true);
    });
    list.append(...tabs);
    box.prepend(list);
    box.classList.add("on");
    choose(0);
  };

  /* Charts say the day under the pointer, and the one that the arrow keys have come to: one stop of the tab key each. */
  const say = (plot, slot) => {
    const says = plot.querySelector("[data-plot-says]");
    plot.querySelector(".slot.on")?.classList.remove("on");
    slot?.classList.add("on");
    says.textContent = slot ? slot.querySelector("title").textContent.split("\n").join(" · ") : "";
  };
  const makePlot = (plot) => {
    const marks = plot.querySelector("[data-plot-marks]");
    const slots = [...marks.querySelectorAll(".slot")];
    if (marks.tabIndex === 0 || !slots.length) return;
    const says = plot.querySelector("[data-plot-says]");
    const at = () => slots.findIndex((slot) => slot.classList.contains("on"));
    marks.tabIndex = 0;
    says.hidden = false;
    marks.addEventListener("focus", () => { if (at() < 0) says.textContent = says.dataset.plotHint; });
    marks.addEventListener("blur", () => say(plot));
    marks.addEventListener("pointerover", (event) => { const slot = event.target.closest(".slot"); if (slot) say(plot, slot); });
    marks.addEventListener("pointerleave", () => say(plot));
    marks.addEventListener("keydown", (event) => {
      const last = slots.length - 1;
      const to = { ArrowRight: Math.min(at() + 1, last), ArrowLeft: at() < 0 ? last : Math.max(at() - 1, 0), Home: 0, End: last }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      say(plot, slots[to]);
    });
  };

  /* Copy buttons and what only makes sense with a script appear now. */
  const enhance = (where) => {
    where.querySelectorAll("[data-tabs]").forEach(makeTabs);
    where.querySelectorAll("[data-plot]").forEach(makePlot);
    where.querySelectorAll("[data-scripted]").forEach((one) => { one.hidden = false; });
    where.querySelectorAll("[data-unscripted]").forEach((one) => { one.hidden = true; });
  };
  enhance(document);
  document.addEventListener("htmx:afterSettle", () => enhance(document));

  /* While something is fetched, its place says so; what came is said aloud, and paging goes on reading from its top. */
  let turned = false;
  document.addEventListener("htmx:beforeRequest", (event) => {
    turned = Boolean(event.detail.elt.closest(".pages"));
    if (event.detail.target.id === "results") event.detail.target.setAttribute("aria-busy", "true");
  });
  document.addEventListener("htmx:afterRequest", (event) => event.detail.target.removeAttribute("aria-busy"));
  document.addEventListener("htmx:afterSettle", () => {
    const results = document.getElementById("results");
    const said = results && results.querySelector(":scope > [role=status]");
    if (said) document.getElementById("announce").textContent = said.textContent;
    if (results && turned) {
      results.tabIndex = -1;
      results.focus({ preventScroll: true });
    }
    turned = false;
  });

  /* Answers that are not the portal's own (a proxy's, or none at all) are not shown as if they were. */
  const noAnswer = () => {
    const notices = document.getElementById("notices");
    notices.replaceChildren(document.getElementById("no-answer").content.cloneNode(true));
    notices.scrollIntoView({ block: "center" });
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.isError && !event.detail.xhr.getResponseHeader("X-Request-ID")) {
      event.detail.shouldSwap = false;
      noAnswer();
    }
  });
  document.addEventListener("htmx:sendError", noAnswer);
  document.addEventListener("htmx:timeout", noAnswer);
})();
