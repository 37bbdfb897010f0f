// The browser's own camera and microphone.

const PICTURE = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

const TROUBLE = {
  NotAllowedError: "The camera was not allowed. Allow it in the browser's settings for this site, then press Broadcast again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

// Open a camera, with sound where there is a microphone; raises an Error that says in words what is in the way.
export async function openCamera() {
  if (!navigator.mediaDevices) throw new Error("Browsers give their camera only to pages opened over HTTPS or on localhost.");
  const asked = (audio) => navigator.mediaDevices.getUserMedia({ video: PICTURE, audio });
  try {
    return await asked(true).catch((error) => (error.name === "NotFoundError" ? asked(false) : Promise.reject(error)));
  } catch (error) {
    throw new Error(TROUBLE[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

export async function cameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind }) => kind === "videoinput");
}

// A picture from the camera of that id, in place of the one a stream has; phones open one camera at a time.
export async function changeCamera(media, deviceId) {
  for (const track of media.getVideoTracks()) {
    track.stop();
    media.removeTrack(track);
  }
  const other = await navigator.mediaDevices.getUserMedia({ video: { ...PICTURE, deviceId: { exact: deviceId } } });
  const [track] = other.getVideoTracks();
  media.addTrack(track);
  return track;
}
