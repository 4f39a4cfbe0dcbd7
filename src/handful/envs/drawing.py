"""Flat pictures of simple mechanisms: shapes in metres go in, an antialiased frame comes out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from handful.envs.base import Frame

HEIGHT, WIDTH = 240, 320  # [px]
SUPERSAMPLING = 4  # Pillow draws hard edges; drawing large and averaging down softens them

PAPER = (250, 249, 246)
GRID = (233, 231, 225)
STEEL = (176, 182, 188)
INK = (44, 56, 69)
BLUE = (52, 109, 168)
ORANGE = (230, 126, 52)
GREEN = (88, 160, 118)
RED = (205, 60, 56)

Colour = tuple[int, int, int]
Points = Float[np.ndarray, "points 2"]


@dataclass(frozen=True)
class Stroke:
    """A line through points, with round ends."""

    points: Points  # [m]
    width: float  # [m]
    colour: Colour


@dataclass(frozen=True)
class Disc:
    """A filled circle."""

    centre: Float[np.ndarray, "2"]  # [m]
    radius: float  # [m]
    colour: Colour


@dataclass(frozen=True)
class Box:
    """A filled upright rectangle with rounded corners."""

    centre: Float[np.ndarray, "2"]  # [m]
    size: tuple[float, float]  # [m]
    corner: float  # [m]
    colour: Colour


Shape = Stroke | Disc | Box


@dataclass(frozen=True)
class Camera:
    """The visible part of the plane: the middle of the frame and its width."""

    centre: Float[np.ndarray, "2"]  # [m]
    width: float  # [m]

    @property
    def scale(self) -> float:
        """Supersampled pixels per metre."""
        return SUPERSAMPLING * WIDTH / self.width

    def pixels(self, points: Points) -> Points:
        """Supersampled pixel coordinates, y down; far points end just far enough out to stay unseen."""
        middle = SUPERSAMPLING * np.array([WIDTH, HEIGHT]) / 2
        return np.clip(middle + self.scale * (points - self.centre) * [1, -1], -1e5, 1e5)


def follow(position: Float[np.ndarray, "2"], slack: Sequence[float], width: float) -> Camera:
    """A camera that rests at the origin until `position` is more than `slack` away, then goes along with it."""
    limit = np.asarray(slack, float)
    centre = position - np.clip(position, -limit, limit)
    return Camera(np.where(np.isfinite(centre), centre, 0.0), width)


def ring(centre: Float[np.ndarray, "2"], radius: float, width: float, colour: Colour) -> list[Shape]:
    """A circle's outline on bare paper: a disc with a smaller one cut out."""
    return [Disc(centre, radius + width / 2, colour), Disc(centre, radius - width / 2, PAPER)]


def grid(camera: Camera, spacing: float) -> list[Shape]:
    """Lines fixed in the world, so that motion shows when the camera goes along."""
    reach = np.array([camera.width, camera.width * HEIGHT / WIDTH]) / 2 + spacing
    shapes: list[Shape] = []
    for axis in (0, 1):
        first = np.floor((camera.centre[axis] - reach[axis]) / spacing)
        for index in range(int(2 * reach[axis] / spacing) + 2):
            ends = np.stack([camera.centre - reach, camera.centre + reach])
            ends[:, axis] = (first + index) * spacing
            shapes.append(Stroke(ends, camera.width / WIDTH, GRID))
    return shapes


def render(camera: Camera, shapes: Sequence[Shape]) -> Frame:
    """Paint the shapes in order. One that is not finite is left out, and the frame then wears a red border."""
    size = (SUPERSAMPLING * WIDTH, SUPERSAMPLING * HEIGHT)
    image = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(image)
    finite = [shape for shape in shapes if _is_finite(shape)]
    for shape in finite:
        _paint(pen, camera, shape)
    if len(finite) < len(shapes):
        pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=RED, width=4 * SUPERSAMPLING)
    return np.asarray(image.reduce(SUPERSAMPLING))


def _is_finite(shape: Shape) -> bool:
    return bool(np.isfinite(shape.points if isinstance(shape, Stroke) else shape.centre).all())


def _paint(pen: ImageDraw.ImageDraw, camera: Camera, shape: Shape) -> None:
    if isinstance(shape, Stroke):
        points, width = camera.pixels(shape.points), max(1.0, camera.scale * shape.width)
        pen.line([tuple(point) for point in points], shape.colour, round(width), joint="curve")
        for point in points[[0, -1]]:
            pen.ellipse([*(point - width / 2), *(point + width / 2)], shape.colour)
        return
    half = np.array([shape.radius, shape.radius] if isinstance(shape, Disc) else shape.size) * camera.scale
    half = half if isinstance(shape, Disc) else half / 2
    (centre,) = camera.pixels(shape.centre[None])
    corners = [*(centre - half), *(centre + half)]
    if isinstance(shape, Disc):
        pen.ellipse(corners, shape.colour)
    else:
        pen.rounded_rectangle(corners, camera.scale * shape.corner, shape.colour)
