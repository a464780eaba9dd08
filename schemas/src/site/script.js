// A button for what is there to be copied. Without it, the text can still be selected.
for (const figure of document.querySelectorAll(".copy")) {
  const code = figure.querySelector("code");
  const button = document.createElement("button");
  const say = (text) => {
    button.textContent = text;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      say("Copied");
    } catch {
      getSelection().selectAllChildren(code);
      say("Selected");
    }
  });
  figure.querySelector("figcaption").append(button);
}
