/* Narrows a long list of models to choose from, and shows the limits of those that are chosen; without it both lists
   are only long. */
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

  const limits = document.querySelectorAll("[data-limits-of]");
  const follow = () => {
    const chosen = new Set([...document.querySelectorAll("input[name=models]:checked")].map((box) => box.value));
    limits.forEach((group) => {
      const isChosen = chosen.has(group.dataset.limitsOf);
      group.hidden = !isChosen;
      /* What nobody sees is not sent. */
      group.querySelectorAll("input").forEach((input) => { input.disabled = !isChosen; });
    });
    document.querySelectorAll("[data-limits-of-none]").forEach((words) => { words.hidden = chosen.size > 0; });
  };
  if (limits.length) {
    document.addEventListener("change", (event) => { if (event.target.name === "models") follow(); });
    follow();
  }
})();
