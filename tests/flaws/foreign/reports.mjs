// Reports that take a while beside look-ups that do not. TypeScript SDK, stateless, JSON replies.
// FLAW=sync: the report is computed on the only thread there is.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import * as z from "zod/v4";

const sync = process.env.FLAW === "sync";

async function compute(ms) {
  if (!sync) return new Promise((resolve) => setTimeout(resolve, ms));
  const until = Date.now() + ms;
  while (Date.now() < until);
}

function desk() {
  const server = new McpServer({ name: "reports", version: "0.9.2" });
  server.registerTool(
    "yearly_report",
    { description: "Takes a while", inputSchema: { topic: z.string(), ms: z.number().max(5000) } },
    async ({ topic, ms }) => {
      await compute(ms);
      return { content: [{ type: "text", text: `# ${topic}\n\nAll is well.` }] };
    },
  );
  server.registerTool(
    "look_up",
    { description: "Says what a word means", inputSchema: { word: z.string() } },
    async ({ word }) => ({ content: [{ type: "text", text: `${word}: a word` }] }),
  );
  return server;
}

const app = createMcpExpressApp();

app.post("/mcp", async (request, response) => {
  const server = desk();
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: undefined,
    enableJsonResponse: true,
  });
  response.on("close", () => {
    transport.close();
    server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
});
app.all("/mcp", (_, response) => response.status(405).set("Allow", "POST").end());

app.listen(Number(process.env.PORT), "127.0.0.1");
