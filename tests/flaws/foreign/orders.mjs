// A shop: places orders, each request once. TypeScript SDK, a session map of its own.
// FLAW=forgets-request: what was asked for twice is ordered twice.
import { randomUUID } from "node:crypto";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { createMcpExpressApp } from "@modelcontextprotocol/sdk/server/express.js";
import { isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import * as z from "zod/v4";

const forgets = process.env.FLAW === "forgets-request";
const orders = [];
const byRequest = new Map();
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function shop() {
  const server = new McpServer({ name: "orders", version: "3.1.0" });
  server.registerTool(
    "place_order",
    {
      description: "Order something; a repeated request_id gives the first order again",
      inputSchema: { item: z.string(), request_id: z.string().optional() },
      outputSchema: { order: z.number(), item: z.string() },
    },
    async ({ item, request_id }) => {
      await pause(2);
      let placed = request_id && !forgets ? byRequest.get(request_id) : undefined;
      if (!placed) {
        placed = { order: orders.length + 1, item };
        orders.push(placed);
        if (request_id) byRequest.set(request_id, placed);
      }
      return {
        content: [{ type: "text", text: `order ${placed.order}: ${placed.item}` }],
        structuredContent: placed,
      };
    },
  );
  server.registerTool("stock_report", { description: "How many orders there are" }, async () => ({
    content: [{ type: "text", text: JSON.stringify({ orders: orders.length }) }],
  }));
  return server;
}

const transports = new Map();
const app = createMcpExpressApp();

app.all("/mcp", async (request, response) => {
  const id = request.headers["mcp-session-id"];
  let transport = id ? transports.get(id) : undefined;
  if (!transport && !id && isInitializeRequest(request.body)) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (given) => transports.set(given, transport),
    });
    transport.onclose = () => transports.delete(transport.sessionId);
    await shop().connect(transport);
  }
  if (!transport) {
    const error = { code: -32001, message: "Session not found" };
    response.status(id ? 404 : 400).json({ jsonrpc: "2.0", error, id: null });
    return;
  }
  await transport.handleRequest(request, response, request.body);
});

app.listen(Number(process.env.PORT), "127.0.0.1");
