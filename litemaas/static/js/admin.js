/* The portal's theme decides in the admin portal too: unfold keeps its own in the browser's storage. */
(() => {
  const chosen = document.cookie.match(/(?:^|;\s*)theme=(light|dark)(?:;|$)/);
  localStorage.setItem("adminTheme", JSON.stringify(chosen ? chosen[1] : "auto"));
})();

/* unfold takes everything of the class "chart" for a canvas; ours are drawn on the server. */
document.addEventListener("DOMContentLoaded", () => {
  for (const chart of document.querySelectorAll(".chart:not(canvas)")) {
    chart.getContext = () => null;
  }
});
