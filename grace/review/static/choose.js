"use strict";
for (const choice of document.querySelectorAll(".chooser select")) choice.addEventListener("change", () => choice.form.submit());
