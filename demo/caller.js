/** Calls functions of a worker. */

export class Caller {
  #worker;
  #waiting = new Map(); // number of a call -> its promise
  #calls = 0;

  /** A worker that runs a script; `fail` is called with a text if it cannot run at all. */
  constructor(script, fail) {
    this.#worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    this.#worker.addEventListener("message", ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    });
    this.#worker.addEventListener("error", ({ message }) => fail(`This browser cannot run the codec: ${message ?? "no worker starts"}.`));
  }

  /** What a function of the worker returns, as a promise. */
  call(name, ...parameters) {
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, parameters });
    });
  }
}
