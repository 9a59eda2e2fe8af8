//! A microphone and a loudspeaker, by cpal. Both run at their own rate.

use std::fmt::Write;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    Device, ErrorKind, FromSample, SampleFormat, SizedSample, Stream, SupportedStreamConfig,
};

use super::line::Input;
use super::player::Player;

/// A running microphone and a running loudspeaker: they stop when dropped.
pub struct Streams(#[expect(dead_code, reason = "they sound while they live")] [Stream; 2]);

#[derive(Clone, Copy)]
enum End {
    Microphone,
    Loudspeaker,
}

/// The names of all microphones and loudspeakers, one a line.
pub fn list() -> Result<String> {
    let mut list = String::new();
    for end in [End::Microphone, End::Loudspeaker] {
        let default = end.default().map(|device| name(&device));
        for device in end.all()? {
            let name = name(&device);
            let mark = if Some(&name) == default.as_ref() {
                " (the system's)"
            } else {
                ""
            };
            writeln!(list, "{}\t{name}{mark}", end.word())?;
        }
    }
    match list.is_empty() {
        true => bail!("there is neither a microphone nor a loudspeaker"),
        false => Ok(list),
    }
}

/// Opens both and starts them. The microphone's rate in Hz, and what the loudspeaker plays.
pub fn open(
    microphone: Option<&str>,
    loudspeaker: Option<&str>,
    codec_rate: u32,
    inputs: Sender<Input>,
) -> Result<(Streams, u32, Arc<Mutex<Player>>)> {
    let microphone = End::Microphone.find(microphone)?;
    let loudspeaker = End::Loudspeaker.find(loudspeaker)?;
    let heard = microphone.default_input_config();
    let heard = heard.with_context(|| End::Microphone.unusable(&microphone))?;
    let said = loudspeaker.default_output_config();
    let said = said.with_context(|| End::Loudspeaker.unusable(&loudspeaker))?;
    let player = Arc::new(Mutex::new(Player::new(codec_rate, said.sample_rate())));
    let streams = [
        record(&microphone, &heard, inputs.clone())
            .with_context(|| End::Microphone.unusable(&microphone))?,
        play(&loudspeaker, &said, player.clone(), inputs)
            .with_context(|| End::Loudspeaker.unusable(&loudspeaker))?,
    ];
    for stream in &streams {
        stream.play().context("the sound device does not start")?;
    }
    Ok((Streams(streams), heard.sample_rate(), player))
}

impl End {
    fn word(self) -> &'static str {
        match self {
            End::Microphone => "microphone",
            End::Loudspeaker => "loudspeaker",
        }
    }

    fn default(self) -> Option<Device> {
        let host = cpal::default_host();
        match self {
            End::Microphone => host.default_input_device(),
            End::Loudspeaker => host.default_output_device(),
        }
    }

    fn all(self) -> Result<Vec<Device>> {
        let host = cpal::default_host();
        let all = match self {
            End::Microphone => host.input_devices().map(Iterator::collect),
            End::Loudspeaker => host.output_devices().map(Iterator::collect),
        };
        all.with_context(|| format!("cannot list the {}s", self.word()))
    }

    /// The device whose name is, or else contains, `wanted`.
    fn find(self, wanted: Option<&str>) -> Result<Device> {
        let word = self.word();
        let Some(wanted) = wanted else {
            let missing = || anyhow!("there is no {word}; --input and --output take files instead");
            return self.default().with_context(missing);
        };
        let mut all = self.all()?;
        let at = all
            .iter()
            .position(|device| name(device) == wanted)
            .or_else(|| all.iter().position(|device| name(device).contains(wanted)));
        match at {
            Some(at) => Ok(all.swap_remove(at)),
            None => bail!("no {word} is called {wanted}; --list-devices shows their names"),
        }
    }

    fn unusable(self, device: &Device) -> String {
        format!("cannot use the {} {}", self.word(), name(device))
    }
}

fn name(device: &Device) -> String {
    device.to_string()
}

/// Starts a recording whose samples go to `inputs`.
fn record(
    device: &Device,
    config: &SupportedStreamConfig,
    inputs: Sender<Input>,
) -> Result<Stream> {
    match config.sample_format() {
        SampleFormat::F32 => record_as::<f32>(device, config, inputs),
        SampleFormat::I16 => record_as::<i16>(device, config, inputs),
        SampleFormat::I32 => record_as::<i32>(device, config, inputs),
        SampleFormat::U16 => record_as::<u16>(device, config, inputs),
        SampleFormat::U8 => record_as::<u8>(device, config, inputs),
        format => bail!("it gives samples as {format}, which are not known here"),
    }
}

fn record_as<T>(
    device: &Device,
    config: &SupportedStreamConfig,
    inputs: Sender<Input>,
) -> Result<Stream>
where
    T: SizedSample,
    f32: FromSample<T>,
{
    let channels = usize::from(config.channels()).max(1);
    let lost = lost(End::Microphone, inputs.clone());
    let heard = move |samples: &[T], _: &cpal::InputCallbackInfo| {
        let mono = samples
            .chunks_exact(channels)
            .map(|frame| mean(frame))
            .collect();
        // Nobody listens any more where the conversation is over.
        let _ = inputs.send(Input::Sound(mono));
    };
    Ok(device.build_input_stream(config.config(), heard, lost, None)?)
}

/// Starts the loudspeaker, which takes from `player`.
fn play(
    device: &Device,
    config: &SupportedStreamConfig,
    player: Arc<Mutex<Player>>,
    inputs: Sender<Input>,
) -> Result<Stream> {
    match config.sample_format() {
        SampleFormat::F32 => play_as::<f32>(device, config, player, inputs),
        SampleFormat::I16 => play_as::<i16>(device, config, player, inputs),
        SampleFormat::I32 => play_as::<i32>(device, config, player, inputs),
        SampleFormat::U16 => play_as::<u16>(device, config, player, inputs),
        SampleFormat::U8 => play_as::<u8>(device, config, player, inputs),
        format => bail!("it takes samples as {format}, which are not known here"),
    }
}

fn play_as<T>(
    device: &Device,
    config: &SupportedStreamConfig,
    player: Arc<Mutex<Player>>,
    inputs: Sender<Input>,
) -> Result<Stream>
where
    T: SizedSample + FromSample<f32>,
{
    let channels = usize::from(config.channels()).max(1);
    let lost = lost(End::Loudspeaker, inputs);
    let mut mono = Vec::new();
    let said = move |samples: &mut [T], _: &cpal::OutputCallbackInfo| {
        mono.resize(samples.len() / channels, 0.0);
        let mut player = player.lock().unwrap_or_else(PoisonError::into_inner);
        player.fill(&mut mono);
        for (frame, &sample) in samples.chunks_exact_mut(channels).zip(&mono) {
            frame.fill(T::from_sample_(sample.clamp(-1.0, 1.0)));
        }
    };
    Ok(device.build_output_stream(config.config(), said, lost, None)?)
}

/// What to do where a device fails: some failures are only a gap in the sound.
fn lost(end: End, inputs: Sender<Input>) -> impl FnMut(cpal::Error) + Send + 'static {
    move |error| match error.kind() {
        ErrorKind::Xrun | ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
        _ => {
            let word = end.word();
            let _ = inputs.send(Input::Lost(format!("the {word} is gone: {error}")));
        }
    }
}

fn mean<T>(frame: &[T]) -> f32
where
    T: Copy,
    f32: FromSample<T>,
{
    let sum: f32 = frame.iter().map(|&sample| f32::from_sample_(sample)).sum();
    sum / frame.len() as f32
}
