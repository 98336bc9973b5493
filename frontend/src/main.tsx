/** Starts the web app. */
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { takeTokenFromAddress } from "@/api/token";
import { App } from "@/app";
import { applyTheme, preferredTheme } from "@/ui/theme";
import "@/ui/base.css";

applyTheme(preferredTheme());
takeTokenFromAddress();
const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
