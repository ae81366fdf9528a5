/* The portal's theme decides in the admin portal too: unfold keeps its own in the browser's storage. */
(() => {
  const chosen = document.cookie.match(/(?:^|;\s*)theme=(light|dark)(?:;|$)/);
  localStorage.setItem("adminTheme", JSON.stringify(chosen ? chosen[1] : "auto"));
})();

/* "System" follows the system at once; unfold looks at it only while a page is loaded. */
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (system) => {
  if (localStorage.getItem("adminTheme") === JSON.stringify("auto")) {
    document.documentElement.classList.toggle("dark", system.matches);
    document.documentElement.classList.toggle("light", !system.matches);
  }
});

/* unfold takes everything of the class "chart" for a canvas; ours are drawn on the server. */
document.addEventListener("DOMContentLoaded", () => {
  for (const chart of document.querySelectorAll(".chart:not(canvas)")) {
    chart.getContext = () => null;
  }
});
