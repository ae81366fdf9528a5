/* Narrows a long list of models to choose from; without it the list is only long. */
(() => {
  "use strict";

  document.querySelectorAll("[data-narrows]").forEach((search) => {
    const box = document.getElementById(search.dataset.narrows);
    const count = document.getElementById(`${box.id}-count`);
    search.addEventListener("input", () => {
      const word = search.value.trim().toLowerCase();
      let shown = 0;
      box.querySelectorAll("label:has(input[type=checkbox])").forEach((label) => {
        /* What is chosen stays in sight, so that nobody forgets it. */
        const fits = label.textContent.toLowerCase().includes(word) || label.querySelector("input").checked;
        label.parentElement.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      count.textContent = `${count.dataset.words} ${shown}`;
    });
    /* Enter in the search would send the form. */
    search.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  });
})();
