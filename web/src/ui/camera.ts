// How does the camera's live picture reach the network, frame after frame, as fast as it answers?

import { PageError } from "../errors.ts";
import { find } from "./dom.ts";

const video = find("video", HTMLVideoElement);
const button = find("camera", HTMLButtonElement);
const turn = find("turn", HTMLButtonElement);
const rate = find("rate", HTMLParagraphElement);

const SMOOTHED = 0.9;

/** The camera, off at first. `look` answers one frame; the next is taken when it is done. */
export class Camera {
  private stream: MediaStream | undefined;
  private facing: "environment" | "user" = "environment";
  private interval = 0;
  private readonly look: (frame: ImageBitmap) => Promise<void>;

  constructor(look: (frame: ImageBitmap) => Promise<void>) {
    this.look = look;
  }

  get on(): boolean {
    return this.stream !== undefined;
  }

  /** Throws PageError: no secure address, no camera, or the user said no. */
  async start(): Promise<void> {
    if (!navigator.mediaDevices) {
      throw new PageError(
        "The camera needs a secure address: open this page by https, or on localhost. Taking a photo works here, too.",
      );
    }
    try {
      const ideal = { facingMode: { ideal: this.facing }, width: { ideal: 640 }, height: { ideal: 480 } };
      this.stream = await navigator.mediaDevices.getUserMedia({ video: ideal, audio: false });
    } catch (error) {
      const refused = (error as DOMException).name === "NotAllowedError";
      throw new PageError(
        refused
          ? "The browser was not allowed to use the camera; allow it in its settings for this page."
          : "This device gives the page no camera; choose a picture instead.",
      );
    }
    video.srcObject = this.stream;
    video.classList.toggle("mirrored", this.facing === "user");
    await video.play();
    button.ariaPressed = "true";
    const devices = await navigator.mediaDevices.enumerateDevices();
    turn.hidden = devices.filter(({ kind }) => kind === "videoinput").length < 2;
    rate.hidden = false;
    this.interval = 0;
    void this.follow(this.stream);
  }

  stop(): void {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = undefined;
    video.srcObject = null;
    button.ariaPressed = "false";
    rate.hidden = turn.hidden = true;
  }

  /** The camera on the other side. */
  async change(): Promise<void> {
    this.stop();
    this.facing = this.facing === "user" ? "environment" : "user";
    await this.start();
  }

  private async follow(stream: MediaStream): Promise<void> {
    let before = performance.now();
    while (this.stream === stream) {
      await new Promise(requestAnimationFrame);
      if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || this.stream !== stream) continue;
      await this.look(await createImageBitmap(video));
      const now = performance.now();
      this.interval = this.interval === 0 ? now - before : SMOOTHED * this.interval + (1 - SMOOTHED) * (now - before);
      before = now;
      rate.textContent = `${(1000 / this.interval).toFixed(1)} pictures/s`;
    }
  }
}
