// Every call of toxiproxy-node-client against one server, told as JSON: [[call, what came of it], …].
// node drive_client.cjs URL UPSTREAM LISTEN, with the package's folder in SQUALL_NODE_CLIENT.

"use strict";

const { Toxiproxy } = require(process.env.SQUALL_NODE_CLIENT);

const [url, upstream, listen] = process.argv.slice(2);
const told = [];

async function tell(call, act) {
  let result;
  try {
    result = await act();
  } catch (error) {
    told.push([call, { error: error.name, message: error.message }]);
    return undefined;
  }
  const plain = (value) => (value && value.toJson ? value.toJson() : value);
  let shown = plain(result);
  if (shown && typeof shown === "object" && shown === result) {
    shown = Object.fromEntries(Object.entries(result).map(([key, value]) => [key, plain(value)]));
  }
  told.push([call, shown === undefined ? null : shown]);
  return result;
}

async function main() {
  const client = new Toxiproxy(url);
  await tell("version", () => client.getVersion());
  await tell("all of none", () => client.getAll());
  await tell("reset of none", () => client.reset());

  const proxy = await tell("create", () => client.createProxy({ name: "p", listen, upstream }));
  await tell("create again", () => client.createProxy({ name: "p", listen, upstream }));
  await tell("create without a name", () => client.createProxy({ listen, upstream }));
  await tell("create where it cannot be", () =>
    client.createProxy({ name: "q", listen: "192.0.2.1:1", upstream }));
  await tell("get", () => client.get("p"));
  await tell("get what is not there", () => client.get("q"));
  await tell("all", () => client.getAll());

  const toxic = await tell("add a toxic", () =>
    proxy.addToxic({ name: "slow", type: "latency", stream: "downstream", toxicity: 0.5,
      attributes: { latency: 100, jitter: 5 } }));
  await tell("add it again", () =>
    proxy.addToxic({ name: "slow", type: "latency", attributes: {} }));
  await tell("add one by default", () => proxy.addToxic({ type: "bandwidth", attributes: { rate: 5 } }));
  for (const [type, attributes] of Object.entries({
    slow_close: { delay: 1 },
    timeout: { timeout: 2 },
    reset_peer: { timeout: 3 },
    slicer: { average_size: 4, size_variation: 1, delay: 5 },
    limit_data: { bytes: 6 },
  })) {
    await tell(`add ${type}`, () =>
      proxy.addToxic({ name: type, type, stream: "upstream", toxicity: 1, attributes }));
  }
  await tell("add one of no type", () => proxy.addToxic({ type: "x", attributes: {} }));
  await tell("add one that is half a number", () =>
    proxy.addToxic({ type: "noop", name: "n", toxicity: "x", attributes: {} }));
  await tell("get a toxic", () => proxy.getToxic("slow"));
  await tell("get a toxic that is not there", () => proxy.getToxic("fast"));
  await tell("update a toxic", () => toxic.update({ attributes: { latency: 7 }, toxicity: 1 }));
  await tell("update it wrongly", () => toxic.update({ attributes: { latency: 7.5 } }));
  await tell("remove a toxic", () => toxic.remove());
  await tell("remove it again", () => toxic.remove());

  await tell("disable", () => proxy.update({ enabled: false, listen, upstream }));
  await tell("get while disabled", () => client.get("p"));
  await tell("enable", () => proxy.update({ enabled: true, listen, upstream }));
  await tell("another upstream", () => proxy.update({ enabled: true, listen, upstream: "127.0.0.1:9" }));
  await tell("update wrongly", () => proxy.update({ enabled: "x" }));
  await tell("reset", () => client.reset());
  await tell("get after the reset", () => client.get("p"));
  await tell("a toxic after the reset", () => proxy.getToxic("timeout"));

  await tell("populate", () =>
    client.populate([{ name: "p", listen, upstream }, { name: "r", listen: "127.0.0.1:0", upstream }]));
  await tell("populate wrongly", () => client.populate([{ name: "p", listen }]));
  await tell("populate half-way", () =>
    client.populate([{ name: "s", listen: "127.0.0.1:0", upstream },
      { name: "t", listen: "nonsense", upstream }]));
  await tell("all after populate", () => client.getAll());
  await tell("remove", () => proxy.remove());
  await tell("remove again", () => proxy.remove());
  process.stdout.write(JSON.stringify(told));
}

main();
