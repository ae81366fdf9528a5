/* The portal's theme decides in the admin portal too: unfold keeps its own in the browser's storage. */
(() => {
  const chosen = document.cookie.match(/(?:^|;\s*)theme=(light|dark)(?:;|$)/);
  localStorage.setItem("adminTheme", JSON.stringify(chosen ? chosen[1] : "auto"));
})();
